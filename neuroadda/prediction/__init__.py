"""Predict affinities: the stage (`predict`), its tiles, and the network applied to them (`predictor`, `quantising`)."""
