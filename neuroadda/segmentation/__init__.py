"""From affinities to neurons, and the plan of a whole run.

- `fragments`, `watershed`, `ids`, `seams`: affinities to fragments, their ids, and fragments split at block borders joined again.
- `contacts`, `scoring`, `edges`: statistics of touching fragments; which of them are added up to score a merge; these by block.
- `rag`, `agglomerate`, `by_waterz`: merges of a region adjacency graph; these block by block; the same by waterz.
- `components`, `relabel`: the lookup table at a threshold; the segmentation.
- `pipeline`: the config, the plan and the run of all stages. `recovery`: retry, rebuild and verify a run. `whole`: all in memory.
"""
