"""Predict affinities: the stage (`predict`), its tiles, and the network applied to them (`predictor`, `quantising`), also in every
symmetry of a section (`augmented`), and by several networks (`ensemble`)."""
