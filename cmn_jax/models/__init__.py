"""Networks: visual encoders, cross-modal memory, the report generator.

Shapes stand in array names, one letter per axis, from this one legend:

  B  studies in a batch       I  films (views) of a study
  H  film height              W  film width             C  channels
  h  feature-map height       w  feature-map width
  P  patches of a study       F  width of the visual encoder's features
  T  positions in a report    V  words, the 0 of begin/end/padding included
  D  width of the Transformer
  N  attention heads          E  width of one head (D = N * E)
  Q  queries of an attention  M  slots of the memory
  K  beams of one study       L  layers
  G  classes of a classifier  S  studies of a split
  Y  combinations of classes
"""
