"""What a run will cost: sample boxes (`sampling`), their cost by block (`costs`, `overhead`, `work`), the whole (`forecast`)."""
