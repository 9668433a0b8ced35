"""The site's private file: what it brings, where it keeps it, and what it agrees to. None of it ever leaves."""

import os
from pathlib import Path
from typing import Annotated

from pydantic import Field, PositiveFloat, PositiveInt

from fedgrow.config.home import at_home
from fedgrow.config.load import settings, validate
from fedgrow.config.plan import NAME, DataPlan, PreparePlan, Section
from fedgrow.errors import FedgrowError

ADDRESS = r"^[A-Za-z0-9.\-\[\]:]+:\d{1,5}$"


class LimitsPlan(Section):
    """What a site agrees to, of all experiments in its folder together; a plan that asks for more is refused."""

    metrics: tuple[str, ...] | None = Field(
        None, description="metrics of evaluation that may leave; default: those that the approved plan lists"
    )
    rounds: PositiveInt = Field(100, description="that may be trained or evaluated")
    examples: PositiveInt = Field(
        16,
        description="that a round has to train Global-LiGO on (steps x batch size; a batch holds none twice), at least",
    )
    hours: PositiveFloat = Field(7 * 24.0, description="from the first approval to the last step of training")
    megabytes: PositiveFloat = Field(
        1000.0, description="of all messages that leave; beforehand, of the arrays of all rounds"
    )


class SitePlan(Section):
    """A site: its name in the coordinator's plan, its small model and data, its folder, and its limits."""

    name: Annotated[str, Field(pattern=NAME, description="its name in the coordinator's plan")]
    coordinator: Annotated[str, Field(pattern=ADDRESS, description="host:port")]
    certificate: str = Field(description="the coordinator's ca.crt, as its invitation brought it")
    folder: Annotated[str, Field(max_length=1024)] = Field(
        description="where keys, private state, the ledger and the grown model are kept"
    )
    model: str = Field(description="folder or hub id of its small model")
    data: DataPlan = Field(description="its data, as in a plan")
    tokenizer: str | None = Field(None, description="default: beside the model")
    prepare: PreparePlan | None = Field(None, description="default: the plan's")
    limits: LimitsPlan = Field(LimitsPlan(), description="what it agrees to")
    plan: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = Field(
        None, description="digest of the plan that is approved beforehand; else it is asked for once"
    )


def load_site(path: Path, *, invited: bool = True) -> SitePlan:
    """Read and check a site's file; local paths in it count from its folder.

    Args:
        path: the file.
        invited: whether the coordinator's certificate has to be there; a site makes its key before.

    Raises:
        FedgrowError: it is missing or not YAML, or a setting is wrong; the text names it.
    """
    what = f"site file {str(path)!r}"
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise FedgrowError(f"{what} cannot be read as UTF-8 text: {error}") from None
    site = validate(SitePlan, settings(text, what), what)

    def local(value: str, *, new: bool = False) -> str:
        beside = path.resolve().parent / at_home(value)
        return str(beside.resolve()) if new or os.path.exists(beside) else value  # noqa: PTH110 (not: too long a name)

    site = site.model_copy(
        update={
            "certificate": local(site.certificate, new=True),
            "folder": local(site.folder, new=True),
            "model": local(site.model),
            "tokenizer": site.tokenizer and local(site.tokenizer),
            "data": site.data.model_copy(update={"source": local(site.data.source)}),
        }
    )
    if invited and not os.path.isfile(site.certificate):  # noqa: PTH113
        raise FedgrowError(
            f"{what}: certificate {site.certificate} is no file; ask the coordinator for its coordinator/certificates/ca.crt"
        )
    return site
