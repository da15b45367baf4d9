"""Wordings of what the label set `iu` adds to CheXpert's classes.

A table of its own beside `rules.RULES`: 'calcified tortuous aorta' is one
mention there and says something of the calcification here.
"""

from input_pipeline.findings.mentions import Rule, RuleTable

_IS = (
  r' (?:is|are|was|were|appears?|remains?|looks?|seems?|(?:may|might|could) be)'
  r'(?: \w+){0,3}?'
)
_LOW = r'(?:low(?! normal)|lower|decreased|diminished|reduced|small|shallow)'
_DIAPHRAGM = r'(?:hemi ?)?diaphragms?'
_RAISED = r'(?:elevated|eventrated|raised)'
_RAISING = r'(?:elevation|eventration)'
_VESSEL = r'(?:aorta|aortic|arch|knob|vascular|vessels?)'
_CALCIFIED = r'calcifi\w+'
_NODE = r'(?:nod\w+|lymph|hil(?:um|a|ar)|lesions?|densit\w+|adenopathy)'
_OTHER_JOINT = (
  r'(?:shoulders?|acromioclavicular|ac joints?|glenohumeral|humer\w+|hips?'
  r'|sternoclavicular|costochondral|clavic\w+|elbows?|wrists?|hands?'
  r'|knees?|ankles?|\w*foot|feet)'
)
_SPINE = r'(?:spin\w+|vertebra\w*|dis[ck]s?|thorac\w+|lumbar|cervical|endplate)'
_NO_OTHER_JOINT = rf'(?!(?: (?!{_SPINE})\S+){{0,8}} (?:{_OTHER_JOINT}|joints?))'
# Up to three words that begin nothing else that can be calcified.
_NEARBY = (
  rf'(?: (?!{_VESSEL} |{_NODE} |granuloma|pleura|cartilage|,)\S+){{0,3}}?'
)

_RULES = (
  Rule(
    'other',
    (),
    r'(?:subcutaneous|soft tissue|mediastinal) emphysema|cystic fibrosis'
    rf'|{_OTHER_JOINT}(?: joints?)?(?: \w+){{0,3}}? degenerative \w+'
    r'|history of(?: \w+){1,3}',
  ),
  Rule(
    'mention',
    ('degenerative spine',),
    rf'(?:degenerat(?:ive|ed|ion)|osteoarthr\w+){_NO_OTHER_JOINT}'
    rf'|spondyl\w+|(?:osteo|syndesmo)phyt\w+|spurs?|spurring|hyperostosis'
    r'|dish'
    r'|dis[ck](?: space)? (?:narrowing|loss|height loss)'
    r'|(?:narrowing|loss) of (?:the )?(?:intervertebral )?dis[ck]'
    r'|end ?plate (?:changes|irregularit\w+|sclerosis)',
  ),
  Rule(
    'mention',
    ('granulomatous disease',),
    rf'granuloma\w*|histoplasm\w+|{_CALCIFIED}{_NEARBY} {_NODE}'
    rf'|(?:nodul\w+|nodes?|lymph(?: \w+)?|hilar|mediastinal|hilum)(?: and'
    rf' (?:hilar|mediastinal))?(?: lymph| nodal| node)* {_CALCIFIED}',
  ),
  Rule(
    'statement',
    ('hypoinflation',),
    rf'(?:lung|inspiratory) volumes?{_IS} {_LOW}',
  ),
  Rule(
    'mention',
    ('hypoinflation',),
    rf'{_LOW} (?:lung |inspiratory )?(?:volumes?|inspiration)'
    r'|(?:hypo|under) ?(?:inflat|expan|aerat|ventilat)\w+',
  ),
  Rule(
    'mention',
    ('hyperinflation',),
    r'hyper ?(?:lucen|disten)\w+'
    rf'|{_DIAPHRAGM} flattening|flattening of (?:\w+ ){{0,4}}?{_DIAPHRAGM}',
  ),
  Rule(
    'statement',
    ('aortic calcification',),
    rf'(?:aorta|aortic (?:arch|knob)){_IS} (?:calcified|sclerotic)',
  ),
  Rule(
    'mention',
    ('aortic calcification',),
    r'atheroscler\w+|arterioscler\w+|atheromat\w+'
    rf'|{_CALCIFIED}{_NEARBY} {_VESSEL}|{_VESSEL}{_NEARBY} {_CALCIFIED}',
  ),
  Rule(
    'mention',
    ('scarring',),
    r'scar(?:s|red|ring)?|fibrosis|fibrotic|fibronodular',
  ),
  Rule(
    'mention',
    ('emphysema',),
    r'emphysem\w+|copd|chronic obstructive|bulla[es]?|bullous|blebs?',
  ),
  Rule(
    'mention',
    ('kyphosis',),
    r'kypho(?:sis|tic|scolio\w+)',
  ),
  Rule(
    'statement',
    ('raised diaphragm',),
    rf'{_DIAPHRAGM}{_IS} {_RAISED}',
  ),
  Rule(
    'mention',
    ('raised diaphragm',),
    rf'(?:{_RAISED}|{_RAISING})(?: \w+){{0,5}}? {_DIAPHRAGM}'
    rf'|{_DIAPHRAGM}(?: \w+){{0,2}}? {_RAISING}',
  ),
)

IU_RULES = RuleTable(_RULES)
