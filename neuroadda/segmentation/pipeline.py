"""From raw to neurons: the stages bound together, planned first, then run one after another."""

from pathlib import Path
from typing import Any

from neuroadda.backbones.card import Card, load_card
from neuroadda.blockwise.engine import Engine, Observer
from neuroadda.blockwise.grid import BlockGrid, BlockSet
from neuroadda.blockwise.outputs import check_output
from neuroadda.blockwise.task import Stage, Task
from neuroadda.config import (
    Config,
    Zyx,
    fingerprint,
)
from neuroadda.errors import in_section, warn
from neuroadda.ledger.url import NAME, SQLITE
from neuroadda.locks import lock_folder
from neuroadda.prediction.members import (
    identify_members,
    list_members,
    name_members,
    order_members,
    share_offsets,
    warn_of_unshared,
)
from neuroadda.prediction.predict import check_raw
from neuroadda.runs.config import keep_config, refuse_copy
from neuroadda.runs.folder import CONFIG, check_run_folder
from neuroadda.segmentation.agglomerate import LEVEL
from neuroadda.segmentation.components import Components
from neuroadda.segmentation.config import SegmentConfig
from neuroadda.segmentation.conflicts import refuse_conflicts
from neuroadda.segmentation.edges import CollectEdges
from neuroadda.segmentation.edited_fragments import EDITS
from neuroadda.segmentation.edits import Edits
from neuroadda.segmentation.fragments import context_vx
from neuroadda.segmentation.levels import plan_levels
from neuroadda.segmentation.relabel import Relabel
from neuroadda.segmentation.resolving import describe_decided, resolve_config
from neuroadda.segmentation.scoring import MEAN, choose_edges
from neuroadda.segmentation.settings import is_tunable
from neuroadda.segmentation.taken_edits import TAKEN, keep_taken, read_edits, read_taken
from neuroadda.volumes.arrays import Volume, describe_roi
from neuroadda.volumes.coverage.boxes import find_boxes
from neuroadda.volumes.coverage.masks import Mask, open_mask
from neuroadda.volumes.coverage.no_data_setting import AUTO, NONE, identify_mask, open_no_data, resolve_no_data
from neuroadda.volumes.coverage.tissue import MASK, NO_DATA
from neuroadda.volumes.geometry.regions import roi_or_all
from neuroadda.volumes.identity.inputs import Inputs
from neuroadda.volumes.storage.completeness import check_stored
from neuroadda.volumes.storage.locations import Location, to_folder, to_location
from neuroadda.volumes.storage.nodes import check_shards
from neuroadda.zoo.finding import find_backbone

TaskInputs = dict[str, tuple[Location, str]]


class Plan(Config):
    """The tasks of a segmentation in their order, with everything decided; and the edits that components are made with."""

    config: SegmentConfig
    tasks: tuple[Task, ...]
    edits: Edits | None = None

    def task(self, name: str) -> Task:
        """Return the task of a stage."""
        return next(task for task in self.tasks if task.name == name)

    def output(self, name: str) -> Location:
        """Return where a stage's output lies."""
        return to_location(self.task(name).output)

    def folder(self, name: str) -> Path:
        """Return the folder of a stage that writes no array."""
        return Path(self.task(name).output)

    @property
    def merges(self) -> list[Path]:
        """The folders of the merges of every level."""
        return [self.folder(task.name) for task in self.tasks if task.name.startswith(LEVEL)]

    @property
    def cards(self) -> list[Card]:
        """The cards of the backbones, in the order in which a prediction has them."""
        return [load_card(folder) for folder in list_members(self.task("predict").inputs)]

    @property
    def passes(self) -> int:
        """How often networks see each block: in every symmetry, every backbone."""
        voxel_size = Volume.open(self.config.raw).voxel_size_nm
        return self.config.predict.count_passes(voxel_size, len(self.config.backbones))

    def upto(self, name: str) -> "Plan":
        """Return the plan as far as a stage."""
        names = [task.name for task in self.tasks]
        return self.model_copy(update={"tasks": self.tasks[: len(names) - names[::-1].index(name)]})

    def describe(self) -> list[dict[str, Any]]:
        """Return stage, blocks, voxels, uncompressed bytes written and passes through a network of each task, for a dry run."""
        per_voxel = {"predict": len(share_offsets(self.cards)), "fragments": 8, "relabel": 8}
        return [
            {
                "stage": task.name,
                "fingerprint": task.fingerprint,
                "blocks": len(task.blocks),
                "voxels": task.voxels,
                "bytes": task.voxels * per_voxel.get(task.name, 0),
                "passes": self.passes if task.name == "predict" else 0,
                "output": task.output,
            }
            for task in self.tasks
        ]


@in_section("segment")
def make_plan(config: SegmentConfig, inputs: Inputs | None = None, *, take_edits: bool = False) -> Plan:
    """Check the inputs, decide what is open, and bind every stage; nothing is written.

    Parameters
    ----------
    take_edits
        Plan with the edits that are in force now; by default, with those that the run has taken.
    inputs
        Those of the run's folder, where the caller replaces what was made of them before they were edited; else a warning says
        that it is stale.

    Raises
    ------
    UserError
        If an input is missing or does not fit the others, or edits that are taken contradict each other or are stale.
    """
    found = tuple(str(find_backbone(backbone)) for backbone in config.backbones)
    config = config.model_copy(update={"backbone": found if len(found) > 1 else found[0]})
    raw, cards = Volume.open(config.raw), [load_card(folder) for folder in found]
    for card in cards:
        check_raw(raw, card, config.any_voxel_size)
    members = order_members(list(zip(map(Path, found), cards, strict=True)))
    names, first = name_members(len(members)), Path(found[0])  # the first one's card tells how it is segmented
    warn_of_unshared(cards)
    roi = roi_or_all(config.roi, raw)
    of_card, tuned = config.components.threshold is None, is_tunable(config)
    if of_card and (scoring := config.agglomerate.scoring) != MEAN:
        what = f"no threshold is given: the backbone's is right only if it was validated with scoring {scoring!r}"
        warn(what, "components.threshold")
    if of_card and len(cards) > 1:
        warn(
            f"no threshold is given: that of {cards[0].name} is taken, which knows nothing of the mean",
            "components.threshold",
        )
    known = inputs or Inputs(Path(config.output), trust=config.trust_inputs)
    config = resolve_config(config, raw, roi, cards, known.identify("raw", raw))
    assert config.block_vx is not None
    folder, volumes = to_folder(config.output, "the run's folder"), config.arrays
    check_run_folder(folder)
    if config.shard:
        check_shards()

    def grid(context: Zyx = (0, 0, 0)) -> BlockGrid:
        assert config.block_vx is not None
        return BlockGrid.make(roi, raw.voxel_size, config.block_vx, context)

    of_network: TaskInputs = {"raw": (raw.path, known.identify("raw", raw))}
    networks = identify_members(known, members)
    of_network |= {name: (place, one) for name, (place, _), one in zip(names, members, networks, strict=True)}
    by_place = sorted(members, key=lambda member: member[0])  # their digests may be others than the last time
    for name, (place, card) in zip(names, by_place, strict=True):
        known.note(name, place, card.digest)
    if of_card:
        known.note("threshold", first, str(config.components.threshold))
    if tuned:
        known.note("settings", first, fingerprint(cards[0].segmentation))
    masks: dict[str, Mask] = {}
    if config.mask is not None:
        masks[MASK] = open_mask(config.mask, raw, roi)
    if (data := open_no_data(config.no_data, raw)) is not None:
        masks[NO_DATA] = data
    mask: TaskInputs = {name: (one.volume.path, identify_mask(known, name, one)) for name, one in masks.items()}
    boxes = find_boxes(masks.values(), roi, config.block_vx)
    tissue = None if boxes is None else BlockSet.of(boxes)
    if tissue is not None and not len(tissue):
        what = "there is no data" if config.mask is None else "the mask is 0 everywhere"
        warn(f"{what} in {describe_roi(roi)}: there is nothing to segment", config.mask or config.raw)
    if inputs is None:
        stale = "what this run made of it is stale; `neuroadda segment"
        known.warn(f"{stale}` makes it again", f"{stale} --overwrite` makes it again")

    def array_task(stage: Stage, inputs: TaskInputs, name: str, context: Zyx = (0, 0, 0), base: str = "") -> Task:
        return Task.make(
            stage, inputs, volumes / name, grid(context), config.chunk_vx, blocks=tissue, shard=config.shard, base=base
        )

    predict = array_task(config.predict, of_network | mask, "affs")
    affs: tuple[Location, str] = (volumes / "affs", predict.fingerprint)
    around = context_vx(config.fragments, raw.voxel_size_nm)
    fragments = array_task(config.fragments, {"affs": affs} | mask, "fragments", around)
    supervoxels: tuple[Location, str] = (volumes / "fragments", fragments.fingerprint)
    touching: TaskInputs = {"affs": affs, "fragments": supervoxels}
    collect = CollectEdges(scoring=choose_edges(config.agglomerate.scoring))
    edges = Task.make(collect, touching, folder / "edges", grid(), blocks=tissue)
    edge_files = (folder / "edges", edges.fingerprint)
    levels = plan_levels(
        config.agglomerate, touching | {"edges": edge_files}, grid(), raw.voxel_size_nm, tissue, folder / "merges"
    )
    whole = BlockGrid.make(roi, raw.voxel_size, tuple(roi.shape / raw.voxel_size))
    stage = Components(**dict(config.components), blocks=grid())
    graph: TaskInputs = {"edges": edge_files}
    graph.update((task.name, (Path(task.output), task.fingerprint)) for task in levels)
    lost = {name: input_ for name, input_ in mask.items() if name == NO_DATA}

    def finish(edited: TaskInputs, bases: tuple[str, str] = ("", "")) -> tuple[Task, Task]:
        components = Task.make(stage, graph | edited, folder / "lut", whole, base=bases[0])
        lut = (folder / "lut", components.fingerprint)
        return components, array_task(
            Relabel(), {"fragments": supervoxels, "lut": lut} | lost, "segmentation", base=bases[1]
        )

    last = finish({})
    edits = read_edits(folder) if take_edits else read_taken(folder)
    if edits is not None:
        if take_edits:
            edits.check_fresh(fragments.fingerprint)
            refuse_conflicts([edit for edit in edits.edits if edit.is_of(fragments.fingerprint)])
        taken: tuple[Location, str] = (folder / TAKEN, edits.digest(fragments.fingerprint))
        components, relabel = last
        last = finish({EDITS: taken, "fragments": supervoxels}, (components.fingerprint, relabel.fingerprint))
    return Plan(config=config, tasks=(predict, fragments, edges, *levels, *last), edits=edits)


def segment_volume(
    config: SegmentConfig,
    *,
    upto: str = "relabel",
    overwrite: bool = False,
    observe: Observer = lambda task, summary: None,
) -> Plan:
    """Run every stage up to the one named; finished blocks are skipped. Returns the plan, which says where everything lies.

    It takes the edits that are in force.

    Raises
    ------
    UserError, RunFailed, RunStopped
        As `Engine.run`; also UserError if another run is at work in the same folder, or it is a copy of a run that is still
        there, and arrays or ledger are outside of it.
    """
    folder, raw = Path(config.output), Volume.open(config.raw)
    if config.volumes is not None or config.ledger_url != f"{SQLITE}{folder / NAME}":
        refuse_copy(folder)
    inputs = Inputs(folder, trust=config.trust_inputs)
    plan = make_plan(config, inputs, take_edits=True)
    check_stored(raw)
    inputs.warn(f"{plan.tasks[0].name} and what follows are done again (unless inputs are trusted)")
    renew, overwrite = overwrite, overwrite or inputs.changed  # what was made of an input before its edit is not kept
    check_run_folder(folder, {"requested", "resolved"})
    with lock_folder(folder):
        no_data = resolve_no_data(config.no_data, raw, folder, inputs.identify("raw", raw), renew=renew)
        if (plan.config.no_data, no_data) == (AUTO, NONE):  # the tasks are the same without a mask
            plan = plan.model_copy(update={"config": plan.config.model_copy(update={"no_data": NONE})})
        elif no_data != plan.config.no_data or renew:  # else the mask is the one that the plan knows
            plan = make_plan(plan.config.model_copy(update={"no_data": no_data}), inputs, take_edits=True)
        with inputs.explain():
            for task in plan.upto(upto).tasks:
                check_output(task, overwrite)
        inputs.keep_unless_changed()
        keep_config(folder, describe_decided(config, plan.config))
        if any(task.name == Components.kind for task in plan.upto(upto).tasks):
            keep_taken(folder, plan.edits)
        with Engine(plan.config.ledger_url, config.execution, folder / "logs", observe=observe) as engine:
            if not all(map(engine.knows, plan.upto(upto).tasks)):
                rebuild = f"`neuroadda ledger rebuild {folder}` before this command keeps them"
                warn(f"outputs are here that the ledger does not know: they are made again; {rebuild}", config.output)
            for task in plan.upto(upto).tasks:
                engine.run(task, overwrite=overwrite)
        if plan.upto(upto) == plan:
            inputs.keep()
    return plan


def is_run(place: Location | str) -> bool:
    """Tell whether a place is the folder of a segmentation's run."""
    folder = to_location(place)
    return isinstance(folder, Path) and (folder / CONFIG).is_file()
