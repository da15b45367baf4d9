"""What can be chosen of EKAGen's knowledge and masks; imports no JAX."""

# What of a locator's map is inside a mask.
JET, THRESHOLD = 'jet', 'threshold'
RULES = (JET, THRESHOLD)
# Of a map's peak, for the rule 'threshold': chosen on the lesions of phantom
# films of validation, see `python -m cmn_jax.ekagen masks`.
PEAK_SHARE = 0.25
# How far apart two embedded reports are.
FLAT, WORDS = 'flat', 'words'
DISTANCES = (FLAT, WORDS)
# Reports that may speak for a class: that state it, or of whose films the
# classifier says it.
STATED, PREDICTED = 'stated', 'predicted'
MEMBERS = (STATED, PREDICTED)
# What has a row in a knowledge base.
CLASSES, COMBINATIONS = 'classes', 'combinations'
FORMS = (CLASSES, COMBINATIONS)
