"""What a run would do and cost, printed; nothing is written."""

from typing import TYPE_CHECKING

from neuroadda.cli.options import take_section
from neuroadda.errors import UserError

if TYPE_CHECKING:
    from neuroadda.flow import RunConfig
    from neuroadda.segmentation.pipeline import Plan


def print_dry_run(loaded: "RunConfig", upto: str, dry_run: bool, measure: int | None, as_json: bool) -> None:
    """Print blocks, voxels and bytes of each stage as far as one, or what the whole would cost by some boxes; nothing is written.

    Raises
    ------
    UserError
        If it is not a dry run, but something is to be measured; also for all that is wrong with the config, as a run itself.
    """
    from neuroadda.checking.runs import check_run
    from neuroadda.cli.console import print_forecast, print_json, print_table
    from neuroadda.config import dump_config
    from neuroadda.segmentation.pipeline import make_plan
    from neuroadda.wording import format_bytes, format_count

    if not dry_run:
        raise UserError("nothing is measured but for a dry run", "--measure", "add --dry-run")
    segment = take_section(loaded, "segment")
    check_run(loaded, for_run=True, dry_run=True).enforce()
    plan = make_plan(segment).upto(upto)
    if measure is not None:
        from neuroadda.forecast.forecast import forecast
        from neuroadda.forecast.sampling import measure_boxes

        found = forecast(plan, measure_boxes(plan, measure))
        if as_json:
            print_json(dump_config(found))
            return
        print_forecast(found)
        _print_passes(plan)
        return
    stages = plan.describe()
    if as_json:
        print_json(stages)
        return
    shown = [
        {
            "stage": s["stage"],
            "blocks": s["blocks"],
            "voxels": format_count(s["voxels"], "vx"),
            "bytes, uncompressed": format_bytes(s["bytes"]),
            "output": s["output"],
        }
        for s in stages
    ]
    print_table("dry run: nothing was written", shown)
    _print_passes(plan)


def _print_passes(plan: "Plan") -> None:
    networks, passes = len(plan.config.backbones), plan.passes
    if networks > 1:
        print(f"each block goes through {networks} networks, {passes // networks} times each: {passes} passes")
    elif passes > 1:
        print(f"predict.augment: the network sees each block {passes} times")
