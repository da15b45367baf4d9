"""The wordings that name a finding, as one table."""

from input_pipeline.findings.mentions import Rule, RuleTable

# Words that stand between a subject and what is said of it.
_LINK_WORDS = (
  'size|sizes|shape|width|volumes?|silhouettes?|shadow|contours?|the|in|is|are'
  '|was|were|be|been|being|has|have|had|does|do|appears?|remains?|seems?|looks?'
  '|measures?|continues?|demonstrates?|to|again|also|still|now|not|no longer'
  r'|may|might|could|\w+ly|mild|moderate|marked|severe|borderline|upper|top'
  '|high|near|limits?|of|for|within|at|stable|unchanged|and|or|overall|quite'
  '|somewhat|more|very|but|both|clear|well|expanded|aerated|inflated|xxxx|,|:'
)


def _link(more=''):
  return rf'(?: (?:{_LINK_WORDS}{more}))*'


_LINK = _link()
_NORMAL = r'(?:normal|unremarkable|normally)'
# 'Upper limits of normal or mildly enlarged' is in doubt.
_NORMAL_OR = rf'(?:{_LINK} {_NORMAL}(?: ,)? (?:or|to|versus|vs))?'
_HEART_AND = _link(
  '|pulmonary|vascularity|vasculature|vascular|engorgement|hilar|aortic'
)
_HEART = r'(?:heart|cardiac (?:silhouettes?|shadow|contours?|size)|cardiac)'
_MEDIASTINUM = (
  r'(?:(?:superior |upper )?mediastin(?:um|al (?:silhouettes?|contours?'
  r'|structures|shadow|size)))'
)
_HEART_AND_MEDIASTINUM = (
  r'(?:cardi(?:o|ac) ?mediastinal (?:silhouettes?|contours?|structures|shadow)'
  r'|(?:heart|cardiac)(?: size)?(?: silhouette)? and (?:the )?'
  rf'(?:{_MEDIASTINUM}|mediastinal))'
)
_BIG = r'(?:enlarged|large|increased in size|increased|prominent|generous|big)'
_BIGNESS = r'(?:enlargement|prominence|fullness|widening|increase in size)'
_AORTA = (
  r'(?:(?:thoracic|ascending|descending|abdominal|calcified|atherosclerotic|the'
  r'|of|to|and|or|upper|,) )*(?:aorta|aortic (?:arch|knob|contour|xxxx))'
)
_AORTA_IS = _link('|calcified|atherosclerotic|sclerotic|prominent')
_TORTUOUS = r'(?:tortuous|ectatic|unfolded|uncoiled|dilated|elongated)'
_TORTUOSITY = r'(?:tortuosity|ectasia|unfolding|uncoiling|elongation)'
_CALCIFIED = r'(?:partially |densely |benign |coarsely )?calcifi(?:ed|c)'
_LUMP = (
  r'(?:(?:lung |pulmonary |parenchymal )?(?:nodul(?:es?|arity)'
  r'|(?:nodular )?(?:densit(?:y|ies)|opacit(?:y|ies)|lesions?|foc(?:us|i))))'
)
_WHERE = (
  r'(?:(?:left|right|bilateral|upper|mid|middle|lower|lobe|zone|base|apex|lung'
  r'|midlung|pulmonary|apical|basilar|hilar|perihilar|retrocardiac|,) )*'
)
_SHADOW = r'(?:opaci(?:ty|ties|fications?)|densit(?:y|ies))'
_LUNGS = r'(?:(?:both )?lungs?(?: fields?)?)'
_MARKINGS = (
  r'(?:(?:interstitial|bronchovascular|reticular|lung|pulmonary) )+'
  r'(?:markings?|pattern)'
)
_VESSELS = (
  r'(?:(?:central |upper lobe )*(?:pulmonary )?vascul(?:ature|arity'
  r'|ar markings)|pulmonary (?:vessels|veins|xxxx))'
)
_COSTOPHRENIC = (
  r'(?:costophrenic|cardiophrenic) (?:angles?|sulc(?:us|i)|recess(?:es)?|xxxx)'
)
_FILLED = r'(?:engorged|congested|prominent|increased|indistinct|accentuated)'
_PROSTHESIS = (
  r'(?:(?:aortic|mitral|cardiac|heart|prosthetic) )+valves?(?: replacement)?'
  r'|valve replacement'
  r'|(?:shoulder|humeral|hip|joint) (?:prosthes[ie]s|replacement|arthroplasty)'
)

# A density is an opacity of the lung unless it lies over something else.
_OUTSIDE_THE_LUNG = (
  r'(?<!nodular )(?<!like )densit(?:y|ies)'
  r'(?! (?:in|at) the (?:left|right|lung))'
  r'(?: (?!lungs?|lobes?|bases?|ap(?:ex|ices)|zones?|hil\w+|retrocardiac'
  r'|midlungs?|and|or|with|,|;)\w+){0,4}? (?:over|overlying|overlies|overlie'
  r'|within|in|of|along|adjacent to|projecting|projects|projected)'
  r'(?: (?:over|the|both|his|her|patients?|left|right|upper|lower|mid|anterior'
  r'|posterior|lateral|medial|bilateral|\w+th|first|second|third|chest))*'
  r' (?:soft tissues?|(?:chest|abdominal) wall|ribs?|heart|cardiac silhouette'
  r'|breasts?|axill(?:a|ae)|clavicles?|scapula|humer\w+|shoulders?|neck'
  r'|(?:cardio|costo)phrenic (?:angles?|xxxx)|sternum|spine|vertebra\w*)'
)

_RULES = (
  # Look-alikes first: what they match is lost to the rules below.
  Rule(
    'other',
    (),
    r'pericardial effusions?|joint effusions?|subcutaneous emphysema'
    r'|(?:soft tissue|laryngeal|subcutaneous|subpleural) edema|mass effect'
    r'|body mass|(?:breast|thyroid) mass(?:es)?|nipple shadows?'
    r'|(?:bon[ey]|bone mineral|mineral|osseous|metallic|sclerotic|breast'
    r'|contrast|substernal|axillary|foreign body) densit(?:y|ies)'
    rf'|{_OUTSIDE_THE_LUNG}|(?:thoracic|chest|pleural|oral|nasal|abdominal'
    r'|peritoneal|glenoid) cavit(?:y|ies)'
    r'|(?:low|decreased|diminished|reduced|small) (?:lung )?volumes?'
    r'|side(?<!left side)(?<!right side) ports?|history of(?: \w+){1,3}',
  ),
  # Heart and mediastinum.
  Rule(
    'statement',
    ('cardiomegaly', 'enlarged mediastinum'),
    rf'{_HEART_AND_MEDIASTINUM}{_NORMAL_OR}{_LINK} (?:{_BIG}|widened)'
    rf'|{_BIG} {_HEART_AND_MEDIASTINUM}'
    rf'|{_BIGNESS} (?:of|in) (?:the )?{_HEART_AND_MEDIASTINUM}',
  ),
  Rule(
    'normal',
    ('cardiomegaly', 'enlarged mediastinum'),
    rf'{_HEART_AND_MEDIASTINUM}{_HEART_AND} {_NORMAL}'
    rf'|{_NORMAL} {_HEART_AND_MEDIASTINUM}',
  ),
  Rule(
    'statement',
    ('cardiomegaly',),
    rf'{_HEART}{_NORMAL_OR}{_LINK} {_BIG}|borderline {_HEART}(?: size)?'
    rf'|{_HEART}(?: size)? (?:is |remains )?borderline(?! normal)',
  ),
  Rule(
    'normal',
    ('cardiomegaly',),
    rf'{_HEART}{_HEART_AND} {_NORMAL}|{_NORMAL} {_HEART}(?: size)?'
    rf'|{_NORMAL} sized {_HEART}',
  ),
  Rule(
    'mention',
    ('cardiomegaly',),
    r'cardiomegaly|cardiac enlargement|enlarged heart'
    rf'|{_BIG} {_HEART}(?: size)?|{_BIGNESS} (?:of|in) (?:the )?{_HEART}',
  ),
  Rule(
    'statement',
    ('enlarged mediastinum',),
    rf'{_MEDIASTINUM}{_NORMAL_OR}{_LINK} (?:{_BIG}|wide|widened)',
  ),
  Rule(
    'normal',
    ('enlarged mediastinum',),
    rf'{_MEDIASTINUM}{_HEART_AND} {_NORMAL}|{_NORMAL} {_MEDIASTINUM}',
  ),
  Rule(
    'mention',
    ('enlarged mediastinum',),
    rf'mediastinal {_BIGNESS}|{_BIGNESS} (?:of|in) (?:the )?{_MEDIASTINUM}'
    rf'|(?:{_BIG}|wide|widened) {_MEDIASTINUM}',
  ),
  Rule('statement', ('tortuous aorta',), rf'{_AORTA}{_AORTA_IS} {_TORTUOUS}'),
  Rule(
    'mention',
    ('tortuous aorta',),
    rf'{_TORTUOUS}(?: (?:,|and|or|/|{_TORTUOUS}))* {_AORTA}'
    rf'|{_TORTUOSITY}(?: (?:,|and|or|/|{_TORTUOSITY}|(?:of )?(?:the )?'
    rf'(?:atherosclero|calcifi)\w+))* {_AORTA}'
    r'|aort(?:a|ic)(?: calcifications?| atherosclerosis)?(?: and)?'
    rf' {_TORTUOSITY}',
  ),
  Rule('statement', ('enlarged mediastinum',), rf'{_AORTA}{_LINK} {_BIG}'),
  Rule(
    'mention',
    ('enlarged mediastinum',),
    rf'{_BIG} {_AORTA}|{_BIGNESS} of (?:the )?{_AORTA}',
  ),
  # Lungs.
  Rule(
    'mention',
    ('granuloma',),
    rf'(?:{_CALCIFIED} )?granuloma(?:s|ta)?|{_CALCIFIED} {_WHERE}{_LUMP}'
    rf'|granulomatous {_LUMP}',
  ),
  Rule(
    'mention',
    ('opacity', 'mass'),
    rf'mass ?like {_WHERE}{_SHADOW}',
  ),
  Rule(
    'mention',
    ('mass',),
    r'mass(?:es)?|neoplasms?|(?:cavitary|cavitating) lesions?|cavitations?'
    r'|cavit(?:y|ies)|tumou?rs?',
  ),
  Rule(
    'mention',
    ('opacity', 'nodule'),
    r'(?:nodular|rounded|round|circular)(?: like)?'
    rf' (?:(?:dense|focal|hazy|interstitial|airspace) )?{_WHERE}{_SHADOW}',
  ),
  Rule('mention', ('nodule',), r'nodules?|(?:pulmonary|lung) lesions?'),
  Rule('mention', ('pneumonia',), r'(?:broncho)?pneumonias?'),
  Rule('mention', ('consolidation',), r'consolidat(?:ions?|ive \w+|ed)'),
  Rule(
    'mention',
    ('atelectasis',),
    r'atelecta(?:sis|ses|tic)|collapse of the(?: \w+){0,2} (?:lung|lobe)'
    r'|(?:lung|lobe|lobar) collapse|collapsed(?: \w+){0,2} (?:lung|lobe)',
  ),
  Rule(
    'mention',
    ('edema',),
    r'(?:pulmonary |interstitial |alveolar )*edema|(?:kerley |xxxx )?b lines'
    r'|(?:pulmonary |central |vascular |venous )*congestion'
    r'|(?:congestive )?(?:heart|cardiac) failure|chf|cephalization'
    r'|volume overload|fluid overload'
    r'|(?:pulmonary |central )*(?:vascular|venous) (?:engorgement|prominence'
    r'|fullness)|venous hypertension'
    rf'|{_FILLED} {_VESSELS}|{_BIGNESS} of (?:the )?{_VESSELS}',
  ),
  Rule('statement', ('edema',), rf'{_VESSELS}{_LINK} {_FILLED}'),
  Rule(
    'statement',
    ('hyperinflation',),
    rf'{_LUNGS}{_LINK} (?:over|hyper) ?(?:inflated|expanded|aerated|distended)'
    rf'|lung volumes{_LINK} (?:large|increased|high)',
  ),
  Rule(
    'mention',
    ('hyperinflation',),
    r'(?:over|hyper) ?(?:inflation|expansion|aeration|distention)'
    r'|(?:over|hyper) ?(?:inflated|expanded|aerated)'
    r'|(?:flattening|flattened)(?: of)?(?: the| both| bilateral)?'
    r' (?:hemi)?diaphragms?',
  ),
  Rule(
    'statement', ('hyperinflation',), rf'(?:hemi)?diaphragms?{_LINK} flattened'
  ),
  Rule(
    'mention',
    ('opacity',),
    rf'{_SHADOW}|infiltrat(?:es?|ions?)|reticulo ?nodular (?:\w+ )?patterns?'
    r'|air ?space diseases?|interstitial (?:lung )?(?:disease|changes'
    r'|thickening|prominence|(?:markings|pattern)(?: prominence)?)'
    rf'|{_BIGNESS} (?:of|in) (?:the )?{_MARKINGS}'
    rf'|(?:prominent|increased|coarse|coarsened) {_MARKINGS}',
  ),
  Rule(
    'statement',
    ('opacity',),
    rf'{_MARKINGS}{_LINK} (?:prominent|increased|coarse|coarsened|accentuated)',
  ),
  Rule('normal', ('opacity',), rf'{_LUNGS}{_LINK} clear|clear {_LUNGS}'),
  # Pleura.
  Rule('mention', ('effusion', 'pneumothorax'), r'hydro ?pneumothora(?:x|ces)'),
  Rule(
    'mention',
    ('pneumothorax',),
    r'(?:hemo)?pneumothora(?:x|ces|xes)|pleural air collections?',
  ),
  Rule(
    'mention',
    ('effusion',),
    r'(?:pleural )?effusions?|pleural fluid|hydrothorax|hemothorax',
  ),
  Rule(
    'normal',
    ('effusion',),
    # An angle that is not sharp is a sign, as a blunt one is.
    rf'(?:pleural spaces?|{_COSTOPHRENIC})(?!(?: \w+){{0,2}} (?:not|no longer))'
    rf'{_LINK} (?:sharp|{_NORMAL}|clear)',
  ),
  Rule(
    'mention',
    ('pleural thickening',),
    r'(?:apical )?pleural (?:(?:based|parenchymal|peripheral) )?(?:thickening'
    r'|scar(?:ring|s)?|capp?(?:ing|s)?)|apical (?:cap(?:ping|s)?|thickening)'
    r'|pleuro ?parenchymal (?:scarring|thickening)'
    r'|fibronodular (?:pleural )?thickening|fissur(?:al|e) thickening'
    r'|thickening (?:of|in|along)(?: the)?(?: \w+){0,2} (?:pleura|fissures?)',
  ),
  Rule(
    'mention',
    ('pleural other',),
    r'pleural (?:plaques?|calcifications?|retraction|nodul\w+|mass(?:es)?)'
    r'|calcified pleura\w*|pleural based \w+',
  ),
  # Bones and diaphragm.
  Rule(
    'mention',
    ('scoliosis',),
    r'(?:dextro|levo|kypho)?scolio(?:sis|tic)(?: curvature| deformity)?'
    r'|(?:dextro|levo) ?curvature|(?:right|left)ward curvature',
  ),
  Rule('mention', ('fracture',), r'fractur(?:es?|ed)'),
  Rule(
    'normal',
    ('fracture',),
    r'(?:bones?|(?:osseous|bony|skeletal) (?:structures?|thorax))'
    rf'{_LINK} (?:intact|{_NORMAL})'
    r'|no (?:definite |evidence of )?(?:acute |focal )?'
    r'(?:bon[ey]|osseous|skeletal) (?:abnormalit(?:y|ies)|findings?'
    r'|injur(?:y|ies))',
  ),
  Rule('mention', ('hiatal hernia',), r'(?:hiatal|hiatus) hernias?'),
  # Devices.
  Rule(
    'mention',
    ('pacemaker',),
    r'(?:cardiac )?(?:pacemakers?|pacers?|pacing (?:device|leads?|wires?)'
    r'|aicd|icd|defibrillators?)',
  ),
  Rule(
    'mention',
    ('sternotomy',),
    r'(?:median |midline )?sternotomy|sternal wires?|cabg'
    r'|coronary (?:artery )?bypass',
  ),
  Rule(
    'mention',
    ('catheter',),
    r'picc(?: line| catheter)?|(?:port|xxxx) a (?:cath|xxxx)|port ?a ?caths?'
    r'|(?:(?:central|venous|dialysis|picc|ij|jugular|subclavian) )*catheters?'
    r'|(?:central|venous|ij|jugular|subclavian) (?:venous )?lines?'
    r'|(?:medi|infusa|chemo ?)?ports?'
    r'|tip(?: \w+){1,5}? (?:svc|vena cava|superior xxxx(?: xxxx)?'
    r'|(?:cavo ?|caval )atrial(?: junction)?)',
  ),
  Rule(
    'mention',
    ('other support device',),
    r'(?:(?:endotracheal|nasogastric|ng|tracheostomy|chest|feeding|enteric'
    r'|gastrostomy) )*tubes?|ett|ngt|ogt|tracheostomy|stents?'
    r'|(?:(?:surgical|vascular|cholecystectomy) )*clips?'
    r'|(?:nerve |spinal |neuro ?)*stimulators?|(?:ivc |vena cava )filters?'
    r'|(?:monitor(?:ing)?|ekg|ecg|telemetry|overlying|external) leads?'
    r'|(?:bone |suture )anchors?'
    r'|loop recorder|(?:cardiac|medical) devices?|surgical staples|shunt'
    r'|(?:(?:atrial|septal|asd|pfo|duct|ductus) )*(?:closure devices?'
    r'|occluders?|occlusion devices?)'
    r'|(?:internal|spinal) fixation(?: (?:device|hardware|plates?|screws?'
    r'|rods?))?|(?:orthopedic|surgical|spinal|fixation) (?:hardware|rods?)'
    r'|(?:cabg|(?:bypass )?graft) markers?'
    rf'|{_PROSTHESIS}',
  ),
)

RULES = RuleTable(_RULES)
