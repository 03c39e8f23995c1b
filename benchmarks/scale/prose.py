"""The prose of docs/scale.md; numbers stand in the tables, which are computed."""

CHANGES = {
    6: "A block or two. Importing torch is most of the run: one process, no scheduler.",
    7: "A dozen blocks: as many workers as blocks at most. Smaller blocks would only add context.",
    8: "One GPU begins to be busy; more than one still waits for imports.",
    9: "A gigavoxel: two minutes on one GPU, six of a core without. Nothing needs care.",
    10: "A hundred GPUs wait for their cores, the disks, and one scheduler of blocks of 2 Mvx: `block_vx` makes them larger.",
    11: "Millions of chunk files: each copy or deletion of a run touches every one. Shards are worth having.",
    12: "Two terabytes of affinities are most of what is stored. Predict, fragments and edges in one pass store none.",
    13: "One disk is full: an object store, one request after the other, and worst in the one process of the global step. "
    "Many requests in flight, a merge as a tree.",
    14: "The lookup table and its union-find outgrow a machine's memory, the chunks a file system. The tree must be there.",
    15: "A cubic millimetre. The records alone outgrow the memory of a ledger's machine at 2 Mvx a block; at 1 Gvx a block SQLite "
    "would hold them. What is left to buy is GPUs, and bandwidth to feed them.",
}

TEMPLATE = """# From 10^6 to 10^15 voxels: a plan

What a segmentation asks for at each power of ten, what it waits for, and what has to change there. This is a model:
arithmetic on the figures at the end, of which some are measured and some assumed; nothing near its upper end was run.
It is written by `python -m benchmarks.scale.simulation --write`; `--set gpu_vx_s=2e7` replaces a figure. The words were written
for the figures as they stand.

10^{last} voxels of 30 x 6 x 6 nm are a cube of tissue (10^15: one cubic millimetre). A worker is one GPU with the
cores beside it. The passes follow one another; each takes as long as its slowest resource, and the bottleneck is the
resource to which most of the wall time is due, found by computing. Two designs are compared:

- **today**: what `neuroadda segment` does. Blocks of 32 x 256 x 256, one file a chunk, one scheduler, a ledger record
  for each block and stage, affinities stored and read twice, one process for the global step. Arrays lie on file
  systems only: rows *on objects* tell what the same files would cost in an object store, one request after the other.
- **built**: what would have to be built, below. Its tables begin at 10^11, since one of its blocks is 10^9 voxels.

## The walk

At 100 GPUs:

{walk}

## Time

Wall time, **what it waits for**, and ledger writes per second over the run. *On disk* files cost no requests; all
their workers share the same bandwidth.

Today:

{time_today}

Built:

{time_built}

On disk and with many workers, the GPUs wait for little else: the scheduler hands out a block in `block_s` whatever the number
of workers (all that an empty block costs on two shared cores; daisy alone was measured at 0.12 ms); the one process of
the components opens two files a block; the last level of the agglomeration is one process, too, but takes in only what
is left on its faces.

## What lies where

Today:

{sizes_today}

Built:

{sizes_built}

Ids stay below 2^63 throughout, since they count voxels of whole blocks. Fragments and segmentation compress more
than a hundred times, affinities by a third: who wants to save storage stores no affinities, or fewer bits of them.

## The global step

The agglomeration is a tree already, eight blocks to one, and exact: its last level takes in the edges that are left on
the faces between eight blocks, which grow with the surface of the volume. Then one process streams all merges through a
union-find, with 16 bytes a fragment; as a tree, blocks would be united alone and in parallel, and then across the faces
between them, where only segments that touch a face are still open.

{global_step}

## Requests

To an object store, all passes together; the time is at the request rate of its prefixes, however many workers there
are.

{requests}

A store splits a busy prefix by itself, in minutes to hours, so that today's figures are the worst case; the dollars
are not.

## What would have to be built

In the order in which the walk needs it.

1. **Blocks by the number of them** (10^10). `default_block_vx` knows the voxel size alone. A run that would have more
   than 10^6 blocks should propose larger ones; the price is the work that a lost worker loses, and the memory of a
   worker.
2. **Shards** (10^11). One file for 64 x 512 x 512 voxels of 128 chunks, written whole by the one worker that owns it;
   readers fetch the index, then ranges. With zarr 3 there is one shard a block (`shard`); blocks of many shards are not
   built. A shard never crosses a block, so idempotence stays as it is.
3. **Streamed stages** (10^12). A worker predicts a block of 256 x 2048 x 2048 piece by piece with the rim that
   fragments need, floods each piece as its neighbours are there, collects the edges and drops the affinities: a queue
   of a few pieces, not a block, in memory. The GPU predicts one piece while the cores beside it flood the one before.
   Fragments, edges and their statistics are kept, so that any threshold can be had later; other parameters of the
   watershed cost the prediction again.
4. **Block files in an object store** (10^13). Arrays lie there through fsspec already; edges, merges and the lookup
   table do not: a rename becomes a single PUT, which is atomic. Sixteen requests in flight a core, with retries. Keys
   begin with a hash of the block, so that prefixes share the load from the first minute.
5. **Components as a tree** (10^13), as the agglomeration is: at level 0 a block unites its own merges and writes, for
   its segments that touch a face, one number each; at level k eight neighbours unite the merges between them and keep
   what touches their common outside. Going down again each level hands its numbers to the eight below, and level 0
   writes its own part of the lookup table. The result is that of one union-find: the smallest fragment is the root,
   whatever the order. The last levels of the agglomeration itself outgrow a machine above 10^13: there the volume is cut
   into parts at a face, whose merges are then not those of the whole, or that machine is a larger one.
6. **Ledgers** (10^15). With blocks of 10^9 voxels one SQLite file holds all records and a MongoDB is asked for tens
   of writes a second, so that sharding it buys nothing. With blocks of 2 Mvx it would have to be sharded by ranges of
   the block index, with a scheduler each, which the key `<fingerprint>:<block>` allows. Either way, a run begins by
   reading which blocks are done, and progress is counted from the records: a second at 10^6, a minute at 10^8; sums
   written with each batch would spare the counting.
7. **Spot machines** (any size). Blocks are idempotent and a worker may die at any time, so nothing new is needed but
   a launcher. A block of 10^9 voxels is under two minutes of a GPU, which is about the notice that a reclaimed
   machine gets; a worker that is told to go should finish a piece, not begin a block, and a half-done block could
   keep its finished shards.
8. **Masks** are built: everything above counts every voxel, but blocks without tissue cost nothing, in no stage.

What stays as it is: owners of edges, ids without locks, fingerprints, one record a block, the same bytes whatever
died. What this model leaves out: failed blocks, that today every tile of a block reads its raw anew, queues of a
shared cluster, stores that answer slowly at times, the upper levels of the tree (a seventh more tasks), getting raw
there at all, proofreading.

## How much hangs on what

The built design at 10^{last} voxels with half and twice each figure; only those that change a wall time by more than
a tenth.

{sensitivity}

## Figures

{figures}
"""
