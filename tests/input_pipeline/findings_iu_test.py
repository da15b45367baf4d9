"""The label set `iu`: sentences and MeSH terms of what CheXpert leaves out."""

import pytest

from input_pipeline.findings import (
  CHEXPERT_14,
  IU_CLASSES,
  LABEL_SETS,
  chexpert_labels,
  mesh_labels,
  read_findings,
  read_iu_findings,
)

IU = LABEL_SETS['iu']
CHEXPERT = LABEL_SETS['chexpert']
ADDED = (
  'Tortuous Aorta',
  'Aortic Calcification',
  'Degenerative Spine',
  'Scoliosis or Kyphosis',
  'Granulomatous Disease',
  'Scarring',
  'Hypoinflation',
  'Hyperinflation',
  'Emphysema or COPD',
  'Raised Diaphragm',
)
STATUS = {'+': 'positive', '-': 'negative', '?': 'uncertain'}

# Of each class: a sentence, with + stated, - denied, ? doubted, 0 unsaid.
SENTENCES = {
  'Tortuous Aorta': (
    ('+', 'The descending aorta is ectatic.'),
    ('+', 'A calcified, tortuous aortic arch is noted.'),
    ('-', 'The aorta is not tortuous today.'),
    ('?', 'Possible unfolding of the aorta.'),
    ('0', 'The aortic arch is calcified.'),
  ),
  'Aortic Calcification': (
    ('+', 'The thoracic aorta is densely calcified.'),
    ('+', 'Calcification along the aortic knob.'),
    ('+', 'Calcified and tortuous descending aorta.'),
    ('+', 'Atherosclerotic disease of the arch is unchanged.'),
    ('+', 'There is some vascular calcification.'),
    ('-', 'The aorta is not calcified.'),
    ('-', 'No atherosclerosis is seen.'),
    ('0', 'Calcified granuloma below the aortic arch.'),
    ('0', 'The arch is tortuous and wide.'),
  ),
  'Degenerative Spine': (
    ('+', 'Degenerative changes throughout the lower spine.'),
    ('+', 'Bridging osteophytes at several levels.'),
    ('+', 'Moderate lumbar spondylosis.'),
    ('+', 'Disc space narrowing in the mid thoracic spine.'),
    ('+', 'Endplate irregularities of the vertebral bodies.'),
    ('+', 'Degenerative changes of the spine and both shoulders.'),
    ('+', 'The skeleton shows degenerative change.'),
    ('-', 'No degenerative changes of the spine are seen.'),
    ('+', 'No fracture, degenerative changes are noted again.'),
    ('?', 'Possible degenerative disc disease.'),
    ('0', 'Degenerative changes of both shoulders.'),
    ('0', 'Degenerative arthritis in the left acromioclavicular joint.'),
    ('0', 'The shoulder joints show degenerative change.'),
    ('0', 'The spine is straight.'),
  ),
  'Scoliosis or Kyphosis': (
    ('+', 'Gentle dextroscoliosis.'),
    ('+', 'The thoracic kyphosis is exaggerated.'),
    ('+', 'Kyphoscoliosis of the spine.'),
    ('-', 'There is no kyphosis or scoliosis.'),
  ),
  'Granulomatous Disease': (
    ('+', 'Old granulomatous disease.'),
    ('+', 'Several calcified lymph nodes at the left hilum.'),
    ('+', 'Both hila hold calcified nodes.'),
    ('+', 'A calcified left apical nodule.'),
    ('+', 'Hilar calcifications from healed histoplasmosis.'),
    ('+', 'Mediastinal nodal calcification.'),
    ('-', 'No granulomas are present.'),
    ('?', 'The density may be a granuloma.'),
    ('0', 'A noncalcified nodule in the right lung.'),
    ('0', 'Calcified aorta.'),
  ),
  'Scarring': (
    ('+', 'A linear scar crosses the left lower lobe.'),
    ('+', 'Apical scarring is stable.'),
    ('+', 'Coarse fibrotic changes in both lungs.'),
    ('+', 'Fibronodular thickening at the apices.'),
    ('-', 'No parenchymal scarring.'),
    ('?', 'Streaks at the base, atelectasis versus scarring.'),
    ('?', 'Streaks at the base, atelectasis vs. scarring.'),
    ('+', 'No effusion, apical scarring is stable.'),
    ('?', 'Blunting which may be due to scarring.'),
    ('0', 'Known cystic fibrosis.'),
  ),
  'Hypoinflation': (
    ('+', 'The lungs are underinflated.'),
    ('+', 'Reduced lung volumes on this film.'),
    ('+', 'Lung volumes remain quite low.'),
    ('+', 'Shallow inspiration with crowded vessels.'),
    ('+', 'Mild hypoventilatory change with low volumes.'),
    ('-', 'The lung volumes are not reduced.'),
    ('0', 'Lung volumes are low normal today.'),
    ('0', 'Both lungs look hyperinflated.'),
    ('0', 'Low attenuation is not judged on a film.'),
  ),
  'Hyperinflation': (
    ('+', 'Hyperlucent upper lungs.'),
    ('+', 'Flattening of the right and left hemidiaphragms.'),
    ('+', 'Diaphragmatic contours are low, lungs hyperinflated.'),
    ('+', 'Hyperdistended lungs.'),
    ('-', 'The lungs are not hyperinflated.'),
    ('-', 'The diaphragms are not flattened.'),
    ('0', 'Both lungs look hypoinflated.'),
  ),
  'Emphysema or COPD': (
    ('+', 'Upper lobe emphysema.'),
    ('+', 'Changes of COPD.'),
    ('+', 'Apical bullae on the right.'),
    ('+', 'Emphysematous lungs with chronic obstructive disease.'),
    ('-', 'No emphysema.'),
    ('?', 'Emphysema cannot be ruled out.'),
    ('?', 'Findings suggest emphysema.'),
    ('0', 'Subcutaneous emphysema over the left chest.'),
  ),
  'Raised Diaphragm': (
    ('+', 'The left hemidiaphragm is mildly elevated.'),
    ('+', 'Elevation of the right and left hemidiaphragm.'),
    ('+', 'Eventrated left diaphragm.'),
    ('+', 'There is diaphragmatic contour change, raised right diaphragm.'),
    ('-', 'The diaphragm is not elevated.'),
    ('-', 'No elevation of either hemidiaphragm.'),
    ('?', 'The right diaphragm may be elevated.'),
    ('0', 'The diaphragm is smooth.'),
  ),
}

TERMS = {
  'Enlarged Cardiomediastinum': ('Mediastinum/prominent', 'Aorta/enlarged'),
  'Tortuous Aorta': ('Aorta/tortuous/mild', 'Aorta, Thoracic/tortuous'),
  'Aortic Calcification': (
    'Atherosclerosis/aorta',
    'Calcinosis/aorta, thoracic',
    'Calcinosis/blood vessels',
  ),
  'Degenerative Spine': (
    'Thoracic Vertebrae/degenerative/mild',
    'Spondylosis',
    'Osteophyte/spine/multiple',
    'Hyperostosis, Diffuse Idiopathic Skeletal',
  ),
  'Scoliosis or Kyphosis': ('Scoliosis/lumbar vertebrae/left', 'Kyphosis/mild'),
  'Granulomatous Disease': (
    'Granulomatous Disease',
    'Calcified Granuloma/lung/base/left',
    'Calcinosis/lung/hilum/lymph nodes/right',
    'Calcinosis/mediastinum',
  ),
  'Scarring': ('Cicatrix/lung/base/left', 'Pulmonary Fibrosis/interstitial'),
  'Hypoinflation': ('Lung/hypoinflation/mild',),
  'Hyperinflation': (
    'Lung/bilateral/hyperdistention',
    'Lung, Hyperlucent/apex',
    'Diaphragm/bilateral/flattened',
  ),
  'Emphysema or COPD': (
    'Pulmonary Emphysema/mild',
    'Emphysema',
    'Pulmonary Disease, Chronic Obstructive',
    'Blister/lung/apex/right',
  ),
  'Raised Diaphragm': (
    'Diaphragm/left/elevated',
    'Diaphragmatic Eventration/right',
  ),
}


def positives(labels):
  return {name for name, status in labels.items() if status == 'positive'}


def test_the_sets_stand_beside_each_other():
  assert CHEXPERT.classes == CHEXPERT_14
  assert IU.classes == IU_CLASSES == (*CHEXPERT_14[:-1], *ADDED, 'No Finding')
  assert set(SENTENCES) == set(ADDED)
  for name, label_set in LABEL_SETS.items():
    assert label_set.name == name
    classes = set(label_set.classes) - {'No Finding'}
    assert set(label_set.class_of_finding.values()) == classes
    assert set(label_set.mesh_patterns) == classes


@pytest.mark.parametrize(
  ('name', 'sign', 'sentence'),
  [(name, *pair) for name, pairs in SENTENCES.items() for pair in pairs],
)
def test_sentence(name, sign, sentence):
  assert IU.from_text(sentence)[name] == STATUS.get(sign)
  assert IU.from_text(sentence.upper().replace(' ', '\n '))[name] == (
    STATUS.get(sign)
  )


@pytest.mark.parametrize(
  ('name', 'term'),
  [(name, term) for name, terms in TERMS.items() for term in terms],
)
def test_mesh_term(name, term):
  assert positives(IU.from_mesh([term])) == {name}
  assert positives(IU.from_mesh([f' {term.upper()}'])) == {name}


@pytest.mark.parametrize(
  'term',
  [
    'normal',
    'Cystic Fibrosis',
    'Subcutaneous Emphysema/neck',
    'Calcinosis/breast implants',
    'Shoulder/bilateral/degenerative',
    'Diaphragm/left/obscured',
  ],
)
def test_mesh_term_without_a_class(term):
  assert positives(IU.from_mesh([term])) == {'No Finding'}


def test_unindexed_is_unknown():
  assert set(IU.from_mesh(['No Indexing']).values()) == {None}
  assert list(IU.from_mesh([])) == list(IU_CLASSES)


def test_tortuous_aorta_leaves_the_mediastinum():
  report = 'Tortuous aorta.'
  assert positives(IU.from_text(report)) == {'Tortuous Aorta'}
  assert positives(CHEXPERT.from_text(report)) == {'Enlarged Cardiomediastinum'}
  term = ['Aorta/tortuous']
  assert positives(CHEXPERT.from_mesh(term)) == {'Enlarged Cardiomediastinum'}
  both = 'Wide mediastinum with a tortuous aorta.'
  assert positives(IU.from_text(both)) == {
    'Tortuous Aorta',
    'Enlarged Cardiomediastinum',
  }


def test_the_twelve_findings_and_devices_read_the_same_in_both_sets():
  report = (
    'Small left effusion with a calcified hilar node. The heart is enlarged, '
    'the aorta calcified. Possible pneumonia or scar. Right PICC.'
  )
  chexpert, iu = CHEXPERT.from_text(report), IU.from_text(report)
  for name in CHEXPERT_14[1:-1]:
    assert iu[name] == chexpert[name]
  terms = ['Opacity/lung/base', 'Cicatrix/lung/base', 'Fractures, Bone/ribs']
  chexpert, iu = CHEXPERT.from_mesh(terms), IU.from_mesh(terms)
  for name in CHEXPERT_14[1:-1]:
    assert iu[name] == chexpert[name]


def test_no_finding_is_narrower():
  report = 'Clear lungs. Spondylosis. Port on the left.'
  assert CHEXPERT.from_text(report)['No Finding'] == 'positive'
  assert IU.from_text(report)['No Finding'] is None
  assert IU.from_text('Clear lungs. Left port.')['No Finding'] == 'positive'


def test_todays_functions_are_of_chexpert():
  report = 'Cardiomegaly. Scarring.'
  assert chexpert_labels(report) == CHEXPERT.from_text(report)
  terms = ['Cardiomegaly', 'Cicatrix/lung']
  assert mesh_labels(terms) == CHEXPERT.from_mesh(terms)
  assert [f.name for f in read_findings(report)] == ['cardiomegaly']
  assert [f.name for f in read_iu_findings(report)] == ['scarring']
