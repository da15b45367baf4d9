"""Retrieval on the report page: reports by films, films by reports."""

from collections.abc import Mapping

from cmn_jax.pages.report_scores import DASH, dig, number

_WAYS = {
  'image_to_report': 'Report found by its films',
  'report_to_image': 'Films found by their report',
  'chance': 'Chance',
}
_COLUMNS = {
  'recall_1': 'recall@1',
  'recall_5': 'recall@5',
  'recall_10': 'recall@10',
  'median_rank': 'median rank',
}
_PROJECTIONS = {
  'trained': 'Films and reports were aligned in training.',
  'untrained': 'This model was trained without alignment: a random projection '
  'stands in for it, as a control.',
}


def retrieval_section(test: Mapping) -> str:
  """The table of test.json's retrieval; nothing where there is none."""
  retrieval = test.get('retrieval')
  if not retrieval:
    return ''
  head = ''.join(f'<th scope="col">{name}</th>' for name in _COLUMNS.values())
  rows = ''.join(
    f'<tr><th scope="row">{name}</th>'
    + ''.join(f'<td>{_number(retrieval, way, key)}</td>' for key in _COLUMNS)
    + '</tr>'
    for way, name in _WAYS.items()
  )
  return (
    '<h3 id="retrieval">Retrieval</h3>'
    '<div class="scroll" tabindex="0" role="region" '
    'aria-labelledby="retrieval"><table class="scores"><thead><tr>'
    f'<th scope="col"></th>{head}</tr></thead><tbody>{rows}</tbody></table>'
    '</div><p class="note">Among '
    f'{retrieval.get("studies", DASH)} studies with '
    f'{retrieval.get("distinct_reports", DASH)} distinct reports; finding any '
    'study with the same report counts. '
    f'{_PROJECTIONS.get(retrieval.get("projection"), "")}</p>'
  )


def _number(retrieval, way, key) -> str:
  digits = 1 if key == 'median_rank' else 3
  return number(dig(retrieval, way, key), digits)
