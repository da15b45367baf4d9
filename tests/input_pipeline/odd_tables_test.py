"""Tables and texts that say half, twice, or nothing."""

import gzip

import pytest

from input_pipeline import label_file
from input_pipeline.findings import CHEXPERT_14
from input_pipeline.findings.reader import read_findings
from input_pipeline.layouts.sections import cut_sections
from input_pipeline.study import DataError, said, view_of
from tests.made import small_layouts
from tests.made.r2gen_folder import write_annotation, write_r2gen
from tests.made.selecting import dropped, kept, scan, select
from tests.made.small_layouts import MIMIC, many

ROW = {'id': 'a', 'report': 'Clear.', 'image': '0.png;1.png', 'split': 'train'}


def write(folder, text, encoding='utf-8'):
  folder.mkdir()
  content = text if isinstance(text, bytes) else text.encode(encoding)
  (folder / 'reports.csv').write_bytes(content)
  return folder


def rows_of(count, first=0, quote=()):
  return ''.join(
    f'{n},{"".join(chr(34) * (n in quote))}Clear {n}.,{n % 9}.png;9.png,train\n'
    for n in range(first, first + count)
  )


@pytest.mark.parametrize(
  ('text', 'message'),
  [
    # A quote that never closes, or closes in another row's field.
    (rows_of(40, quote=[7]), 'from line 9 on'),
    (rows_of(40, quote=[7, 30]), 'from line 9 on'),
    (
      rows_of(7) + '7,"Clear.,1.png;9.png,train\n' + rows_of(3, 8)
      + '11,Clear.",1.png;9.png,train\n' + rows_of(3, 12),
      'opens in line 9 and closes behind other rows',
    ),
    (
      rows_of(7) + '7,"Clear.,1.png;9.png,train\n11,A",1.png;9.png,train\n',
      'opens in line 9 and closes behind other rows',
    ),
    ('a,Cl\0ear.,1.png;2.png,train\n', 'line 2, holds zero bytes'),
    ('\n' * 100_002, 'over 100,000 blank lines'),
  ],
)  # fmt: skip
def test_tables_that_would_lose_rows_are_refused(tmp_path, text, message):
  folder = write(tmp_path / 'mine', 'id,report,image,split\n' + text)
  with pytest.raises(DataError, match=message):
    select(folder)


def test_long_reports_with_lines_and_commas_are_none_of_these(tmp_path):
  text = 'Heart, lungs, bones, all normal.\n, none\nPA, lateral\nno, "x", y'
  small_layouts.write_table(tmp_path / 'mine', [ROW | {'report': text}])
  (study,) = kept(select(tmp_path / 'mine')).values()
  assert study.report == text


@pytest.mark.parametrize(
  'report',
  [
    'All.\nHeart,normal,size,no.\nEnd.',
    'Heart,lungs,bones,clear\r\n',
    '\na,b,c,d\n',
  ],
)
def test_lines_of_a_report_that_could_be_rows(tmp_path, report):
  small_layouts.write_table(tmp_path / 'mine', [ROW | {'report': report}])
  (study,) = kept(select(tmp_path / 'mine')).values()
  assert study.report == report.strip()


@pytest.mark.parametrize(
  'text',
  [
    # A text that begins with a comma, a field of several lines behind the one
    # where the quote closes, and two that are never closed.
    'a,"Clear.,1.png,train\nb,Clear.,1.png,train\nc,",1.png,train\n',
    'a,"Clear.,1.png,train\nb,Clear.,1.png,train\nc,No",1.png,"a\nb"\n',
    'a,"Clear.,1.png,train\nb,No",1.png,"train\nc,No.,1.png,train\nd,x,y,z"\n',
  ],
)
def test_rows_that_a_sound_row_has_swallowed(tmp_path, text):
  folder = write(tmp_path / 'mine', 'id,report,image,split\n' + text)
  with pytest.raises(DataError, match='opens in line 2 and closes behind'):
    select(folder)


@pytest.mark.parametrize(
  'header', ['id,report,image,report', 'id,report,image,view,view']
)
def test_a_column_that_is_there_twice_is_refused(tmp_path, header):
  folder = write(tmp_path / 'mine', f'{header}\na,Clear.,0.png;1.png,x,y\n')
  with pytest.raises(
    DataError, match=f"column '{header.split(',')[-1]}' twice"
  ):
    select(folder)


def test_a_class_or_a_name_that_is_there_twice_is_refused(tmp_path):
  path = tmp_path / 'labels.csv'
  header = ['id', *CHEXPERT_14, 'Edema']
  path.write_text(','.join(header) + '\n' + 'a' + ',1' * 15 + '\n')
  with pytest.raises(DataError, match="column 'Edema' twice"):
    label_file.read_label_file(path)
  write_r2gen(tmp_path / 'r2gen')
  annotation = tmp_path / 'r2gen' / 'annotation.json'
  annotation.write_text(annotation.read_text()[:-1] + ', "train": []}')
  with pytest.raises(DataError, match="'train' is there twice"):
    select(tmp_path / 'r2gen')


TEXT = 'The patient\u2019s lungs \u2013 both \u2013 are clear; naïve.'


@pytest.mark.parametrize(
  ('encoding', 'delimiter'),
  [
    ('utf-8', ','), ('utf-8-sig', ';'), ('cp1252', ','), ('utf-16', '\t'),
    ('utf-16', ','), ('utf-32', ','), ('utf-8', '|'),
  ],
)  # fmt: skip
def test_encodings_and_delimiters_of_spreadsheets(
  tmp_path, encoding, delimiter
):
  lines = [
    list(ROW),
    *([n, f'"{TEXT}"', '"0.png;1.png"', 'train'] for n in 'ab'),
  ]
  text = '\r\n'.join(delimiter.join(line) for line in lines)
  folder = write(tmp_path / 'mine', text, encoding)
  assert [s.report for s in kept(select(folder)).values()] == [TEXT] * 2


def test_one_line_in_another_encoding(tmp_path):
  line = f'{{}},{TEXT},0.png;1.png,train\n'
  content = b'id,report,image,split\n' + line.format('a').encode()
  folder = write(tmp_path / 'mine', content + line.format('b').encode('cp1252'))
  assert [s.report for s in kept(select(folder)).values()] == [TEXT] * 2


@pytest.mark.parametrize(
  'image',
  ["['0.png', '1.png']", '["0.png","1.png"]', "['0.png' '1.png']",
   '[0.png, 1.png]', "('0.png', '1.png')", '0.png;1.png;nan', '.\\0.png;1.png'],
)  # fmt: skip
def test_lists_of_images(tmp_path, image):
  small_layouts.write_table(tmp_path / 'mine', [ROW | {'image': image}])
  (study,) = kept(select(tmp_path / 'mine')).values()
  folder = tmp_path / 'mine'
  assert study.films == (str(folder / '0.png'), str(folder / '1.png'))


def test_a_row_for_each_film(tmp_path):
  rows = [
    ROW | {'id': n, 'report': f'Clear {n}.', 'image': f'{i}.png', 'view': view}
    for n in 'abc'
    for i, view in enumerate(('PA', 'LL'))
  ]
  rows.append(rows[-1] | {'report': 'Another text.'})
  small_layouts.write_table(tmp_path / 'mine', rows)
  dataset = select(tmp_path / 'mine')
  assert [study.views for study in kept(dataset).values()] == [
    ('frontal', 'lateral')
  ] * 3
  assert dropped(dataset) == {'fewer than 2 films': 1}


@pytest.mark.parametrize(
  'text', ['nan', 'NaN', 'None', 'NULL', 'N/A', '', ' ', '.', '-', None]
)
def test_words_for_nothing_say_nothing(tmp_path, text):
  assert said(text) == ''
  rows = [ROW, ROW | {'id': 'b', 'report': text or ''}]
  small_layouts.write_table(tmp_path / 'mine', rows)
  assert dropped(select(tmp_path / 'mine')) == {'empty findings': 1}
  annotation = write_r2gen(tmp_path / 'r2gen')
  annotation['train'][0]['report'] = text or ''
  write_annotation(tmp_path / 'r2gen', annotation)
  assert select(tmp_path / 'r2gen').problems == [
    'train/train-0: empty findings'
  ]


@pytest.mark.parametrize(
  ('text', 'view'),
  [
    ('PA', 'frontal'), ('ap', 'frontal'), ('AP AXIAL', 'frontal'),
    ('AP LLD', 'frontal'), ('PA RLD', 'frontal'), ('LL', 'lateral'),
    ('XTABLE LATERAL', 'lateral'), ('left lateral', 'lateral'),
    ('antero-posterior', 'frontal'), ('Postero-anterior', 'frontal'),
    ('AP lateral decubitus', 'frontal'), ('LAO', None), ('SWIMMERS', None),
    ('', None), ('PA and lateral', None), ('left anterior oblique', None),
  ],
)  # fmt: skip
def test_names_of_views(text, view):
  assert view_of(text) == view


@pytest.mark.parametrize('blank', ['', ' ', 'nan'])
def test_mimics_view_by_the_meaning_of_its_code(tmp_path, blank):
  folder = tmp_path / 'mimic'
  small_layouts.write_mimic(folder)
  path = folder / 'mimic-cxr-2.0.0-metadata.csv'
  lines = path.read_text().replace(',PA,', f',{blank},').splitlines()
  meanings = [
    'ViewCodeSequence_CodeMeaning',
    *['postero-anterior', 'lateral'] * 9,
  ]
  path.write_text('\n'.join(map(','.join, zip(lines, meanings, strict=True))))
  views = [study.views for study in kept(select(folder)).values()]
  assert views == [('frontal', 'lateral')] * 9


HEAD = ' FINAL REPORT\n EXAMINATION:  CHEST (PA AND LAT)\n\n'


@pytest.mark.parametrize(
  ('text', 'findings'),
  [
    ('', None),
    (' FINAL REPORT\n CHEST RADIOGRAPH\n\n The lungs are clear.\n', None),
    (
      HEAD + ' PA AND LATERAL VIEWS OF THE CHEST:  Clear.\n\n IMPRESSION:  No.',
      'Clear.',
    ),
    (HEAD + ' PORTABLE CHEST:  Old.\n\n FINDINGS:  Clear.', 'Clear.'),
    (HEAD + ' FINDINGS:\n\n CHEST, PA:  Clear.', 'Clear.'),
    (HEAD + ' FINIDNGS:  Clear.\n IMPRESSON:  No.', 'Clear.'),
    (HEAD + ' FINSINGS:  Clear.\n TECHNIQUE:  Two views.', 'Clear.'),
    (
      HEAD + ' FINDINGS:  Tubes end well.\n\n LUNGS:  Clear.\n HEART: Large.\n'
      ' IMPRESSION:  No.\n',
      'Tubes end well. LUNGS: Clear. HEART: Large.',
    ),
    (HEAD + ' COMPARISON:  None.\n LUNGS:  Clear.\n', None),
    (HEAD + ' FINDINGS:  Clear.\n NOTIFICATION:  By phone.\n', 'Clear.'),
  ],
)
def test_headings_of_mimic(text, findings):
  assert cut_sections(text).get('findings') == findings


def test_a_report_without_a_heading_is_counted(tmp_path):
  studies = [list(study) for study in MIMIC]
  studies[0][4], studies[1][4] = '', 'The lungs are clear.\n'
  small_layouts.write_mimic(tmp_path / 'mimic', studies)
  assert dropped(select(tmp_path / 'mimic')) == {'empty findings': 2}


def test_a_sentence_without_end_is_read_in_pieces():
  """In time that grows with its length alone."""
  found = read_findings(' , '.join(['clear lungs'] * 40_000) + ', opacity')
  assert 'opacity' in {finding.name for finding in found}


def test_deep_packed_and_odd_annotations(tmp_path):
  annotation = write_r2gen(tmp_path / 'r2gen')
  path = tmp_path / 'r2gen' / 'annotation.json'
  packed = path.with_name('annotation.json.gz')
  packed.write_bytes(gzip.compress(path.read_bytes()))
  path.unlink()
  assert len(kept(select(tmp_path / 'r2gen'))) == 17
  deep = tmp_path / 'deep.json'
  deep.write_text('[' * 100_000)
  with pytest.raises(DataError, match='is not JSON'):
    select(tmp_path / 'r2gen', split_from=str(deep))
  packed.unlink()
  annotation['train'][0]['findings'] = [1, None]
  annotation['train'][1]['findings'] = [{'name': 'nodule', 'size': 'x'}]
  annotation['train'][2]['report'] = 'Clear \ud800.'
  annotation['train'][3]['image_path'] = [
    str(tmp_path / 'r2gen' / 'images' / 'train-3' / f'{n}.png') for n in (0, 1)
  ]
  annotation['train'][4]['image_path'] = ['train-4\\0.png', 'train-4/1.PNG']
  write_annotation(tmp_path / 'r2gen', annotation)
  dataset = scan(tmp_path / 'r2gen')
  assert [problem.split(':')[0] for problem in dataset.problems] == [
    'train/train-0', 'train/train-1', 'train/train-2', 'train/train-4',
  ]  # fmt: skip
  assert 'text that is no Unicode' in dataset.problems[2]
  assert '1.PNG (there is 1.png)' in dataset.problems[3]
  assert 'train-3' in kept(dataset)


def test_kaggles_unnamed_films_keep_their_place(tmp_path):
  small_layouts.write_kaggle(tmp_path / 'kaggle', small_layouts.ODD)
  before = kept(select(tmp_path / 'kaggle'))
  path = tmp_path / 'kaggle' / 'indiana_projections.csv'
  lines = path.read_text().splitlines()
  path.write_text('\n'.join(x for x in lines if '0652-2001' not in x) + '\n')
  dataset = select(tmp_path / 'kaggle')
  assert kept(dataset)['CXR20_IM-0652'].films == before['CXR20_IM-0652'].films
  assert kept(dataset)['CXR20_IM-0652'].views[1] is None
  what = 'films that indiana_projections.csv does not name'
  assert dataset.found[what] == 1


@pytest.mark.parametrize(
  ('changes', 'message'),
  [
    ({'min_films': 3}, 'data.min_films=1'),
    ({'view_rule': 'frontal_lateral'}, "view_rule='first'"),
  ],
)
def test_nothing_kept_says_why_and_what_to_do(tmp_path, changes, message):
  small_layouts.write_openi(tmp_path / 'openi', many(20))
  with pytest.raises(DataError, match=rf'20 dropped: [^\0]*{message}'):
    scan(tmp_path / 'openi', **changes)


def test_several_layouts_are_named(tmp_path, capsys):
  small_layouts.write_kaggle(tmp_path / 'both', many(20))
  write_annotation(tmp_path / 'both', write_r2gen(tmp_path / 'r2gen'))
  assert select(tmp_path / 'both').layout == 'R2Gen'
  warned = capsys.readouterr().err
  assert 'R2Gen (annotation.json), Kaggle (indiana_reports.csv)' in warned


def test_many_problems_are_counted(tmp_path):
  annotation = write_r2gen(tmp_path / 'r2gen')
  for split in annotation.values():
    for entry in split:
      entry['image_path'] = ['none.png', 'nothing.png']
  write_annotation(tmp_path / 'r2gen', annotation)
  with pytest.raises(DataError) as caught:
    scan(tmp_path / 'r2gen')
  assert str(caught.value).count('\n') == 17
  annotation['train'] = [
    annotation['train'][0] | {'id': f'x{n}'} for n in range(500)
  ]
  write_annotation(tmp_path / 'r2gen', annotation)
  with pytest.raises(DataError, match=r'and 487 more'):
    scan(tmp_path / 'r2gen')
