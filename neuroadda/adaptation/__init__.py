"""Adapt to a new volume: rank the zoo, propose boxes, wait for their labels, fine-tune, compare; round after round.

All state lies in the output folder, so that a run that was stopped, or that waits for a person, goes on where it was:
``config.json``, ``ranking.json``, ``adaptation.json``, and for every round ``uncertainty.zarr``, ``proposals.json``, the contact
sheet, ``labels/`` and ``train/``. ``backbone`` is a link to the result of the last finished round.
"""
