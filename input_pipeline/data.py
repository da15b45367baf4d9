"""An opened data set: its studies with their ids, and where its films are."""

import dataclasses
import pathlib

from input_pipeline.layouts import detect as layouts
from input_pipeline.store import prepared
from input_pipeline.store.source import PreparedFilms, StreamedFilms
from input_pipeline.study import (
  DataError,
  Selection,
  refuse_problems,
)
from input_pipeline.tokenizers import (
  SentencePieceTokenizer,
  WordTokenizer,
  needs_pieces,
)


@dataclasses.dataclass(frozen=True)
class Study:
  """One study as a model and its judges see it."""

  id: str
  report: str
  findings: list | None
  films: tuple[str | None, ...]  # paths of the original files
  labels: dict[str, str] | None  # of `Data.label_source`
  ids: list[int]
  reference: str  # in the words that scores count: what R2Gen scores against


@dataclasses.dataclass(frozen=True)
class Data:
  """An opened data set; `train_batches` and `eval_batches` read it."""

  name: str
  label_source: str | None
  split_name: str
  tokenizer: WordTokenizer | SentencePieceTokenizer
  words: WordTokenizer  # `words.normal_form(text)` of what a model has written
  studies: dict[str, list[Study]]
  problems: list[str]  # the studies left out, one sentence each
  views: int
  image_size: int
  max_length: int
  skip_bad: bool
  films: PreparedFilms | StreamedFilms

  def text_of(self, ids):
    """Generated ids as the text that is scored, in words of the references."""
    return self.words.normal_form(self.tokenizer.decode(ids))


def open_data(
  folder,
  *,
  views,
  image_size,
  stored_size,
  max_length,
  min_count,
  clean,
  cache_dir,
  stream,
  skip_bad,
  sections,
  view_rule,
  min_films,
  split_from,
  tokenizer,
  pieces,
  reference_length,
):
  """Opens a folder of any layout, or one that `prepare` has written.

  The films of another folder are decoded into `cache_dir` on first use, or
  with `stream` each time that they are read.

  Args:
    folder: see `layouts.LAYOUTS` for what it may hold.
    views: films of each study that are used.
    image_size: side of the square films in a batch, in pixels.
    stored_size: short side of the stored train films, which crops are cut of.
    max_length: ids of a report, with the 0 at both ends.
    min_count: how often a word must appear in the train reports.
    clean: text cleaning, 'iu_xray' or 'mimic_cxr'.
    cache_dir: where prepared films, and those out of archives, are kept.
    stream: read films from their files, and prepare nothing.
    skip_bad: go on without bad studies instead of raising `DataError`; with
      `stream`, those of train alone, which are masked.
    sections: of the report, that make the text; a key of `study.SECTIONS`.
    view_rule: which films are used; see `study.VIEW_RULES`.
    min_films: studies that list fewer films are left out.
    split_from: an annotation.json whose split is taken, or None: the layout's
      own split, or 'hash-v1' where it has none.
    tokenizer: 'words', or the kind of SentencePiece, 'unigram' or 'bpe'.
    pieces: how many pieces; 0 for words.
    reference_length: words (with the 0 at both ends) to which references are
      cut: scores compare only where it is equal.
  """
  sizes = prepared.Sizes(views, stored_size, image_size)
  selection = Selection(
    sections=sections,
    views=views,
    view_rule=view_rule,
    min_films=min_films,
    split_from=split_from,
  )
  if stream:
    info, studies, films = _open_stream(
      folder, sizes, selection, cache_dir, skip_bad
    )
  else:
    info, studies, films = _open_prepared(
      folder, sizes, selection, cache_dir, skip_bad
    )
  reports = [study.report for study in studies['train']]
  words = WordTokenizer.fit(reports, min_count, clean)
  ids_of = words
  if needs_pieces(tokenizer, pieces):
    ids_of = SentencePieceTokenizer.fit(reports, pieces, tokenizer, clean)

  def tokenized(study):
    return Study(
      id=study.id,
      report=study.report,
      findings=study.findings,
      films=study.films,
      labels=study.labels,
      ids=ids_of.encode(study.report, max_length),
      reference=words.reference(study.report, reference_length),
    )

  return Data(
    name=info['name'],
    label_source=info['label_source'],
    split_name=info['split_name'],
    tokenizer=ids_of,
    words=words,
    studies={
      split: [tokenized(study) for study in members]
      for split, members in studies.items()
    },
    problems=info['problems'],
    views=views,
    image_size=image_size,
    max_length=max_length,
    skip_bad=skip_bad,
    films=films,
  )


def _open_prepared(folder, sizes, selection, cache_dir, skip_bad):
  """What is known of the data, its studies by split, and their films."""
  if prepared.is_prepared(folder):
    opened = prepared.open_prepared(folder)
    _check_prepared(folder, opened.info, sizes, selection)
  else:
    cache_dir = pathlib.Path(cache_dir).absolute()
    dataset = layouts.scan(folder, selection, cache_dir / prepared.UNPACKED)
    out = cache_dir / prepared.prepared_name(dataset, sizes)
    prepared.prepare(dataset, sizes, out, skip_bad)
    opened = prepared.open_prepared(out)
  films = PreparedFilms(opened.builder, sizes.views)
  return opened.info, opened.studies, films


def _open_stream(folder, sizes, selection, cache_dir, skip_bad):
  """As `_open_prepared`; the films are looked for, and not yet read."""
  if prepared.is_prepared(folder):
    raise DataError(
      f'{folder} is prepared, its films need not be read from their files: '
      f'set data.stream=False.'
    )
  unpacked = pathlib.Path(cache_dir).absolute() / prepared.UNPACKED
  dataset = layouts.scan(folder, selection, unpacked)
  refuse_problems(dataset.folder, dataset.problems, skip_bad)
  films = StreamedFilms(sizes, dataset.fingerprint)
  return (
    dataclasses.asdict(dataclasses.replace(dataset, studies={})),
    dataset.studies,
    films,
  )


def _check_prepared(folder, info, sizes, selection):
  """Raises DataError where a prepared folder is not what is asked for."""
  wanted = dataclasses.asdict(sizes) | {
    'sections': selection.sections,
    'view_rule': selection.view_rule,
    'min_films': selection.min_films,
  }
  others = [
    f'{name} {info[name]} (wanted: {value})'
    for name, value in wanted.items()
    if info[name] != value
  ]
  if others:
    raise DataError(
      f'{folder} was prepared with {", ".join(others)}: prepare it again, or '
      f'set these fields to what it has.'
    )
