"""Train and fine-tune a backbone.

- `config`, `start`: what is trained, and from what.
- `sample`, `requests`, `dataset`: Gunpowder's request graph and batches for torch.
- `learner`, `losses`, `run`, `trainer`, `state`: iterations, checkpoints, resuming. `ranks`, `distributed`: several processes.
- `stopping`: what a signal does. `status`: how far a training is, from its folder.
- `report`: TensorBoard, metrics, pictures.
"""
