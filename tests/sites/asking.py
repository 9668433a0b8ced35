"""A site, and the messages by which a coordinator asks it."""

import json
from collections.abc import Mapping

import yaml
from flwr.app import ArrayRecord, ConfigRecord, Message, RecordDict

from fedgrow.architectures import families
from fedgrow.config.load import load_plan
from fedgrow.config.site import load_site
from fedgrow.exchange.contract import PLAN
from fedgrow.exchange.packing import packed
from fedgrow.exchange.records import to_record
from fedgrow.exchange.wire import become_server
from fedgrow.federated.resolve import resolve
from fedgrow.learners.dual_ligo import global_start
from fedgrow.sites.coordination import introducing, plan_text
from fedgrow.sites.site import Site
from tests.sites.making import write_yaml


def site(folder, approve=lambda plan, digest: True, **changes) -> Site:
    raw = yaml.safe_load((folder / "ada.yaml").read_text()) | changes
    write_yaml(folder / "ada.yaml", raw)
    return Site(load_site(folder / "ada.yaml"), approve)


def shown(
    folder, run: int = 7, experiment: str = "tiny-1", said: Mapping[str, str] = {}, **changes
) -> Message:
    """Return the message that shows a plan; ``said`` goes before what a coordinator would say of it."""
    become_server(run)
    overrides = [f"{key}={json.dumps(value)}" for key, value in changes.items()]
    text = plan_text(resolve(load_plan(folder / "plan.yaml", overrides)))
    return message(PLAN, run, config=introducing(experiment, text) | said)


def message(
    kind: str, run: int = 7, config: dict | None = None, arrays: ArrayRecord | None = None
) -> Message:
    become_server(run)
    content = RecordDict(
        {"arrays": arrays or ArrayRecord(), "config": ConfigRecord(config or {"server-round": 0})}
    )
    return Message(packed(content), 1001, kind, group_id="0")


def start(folder, more: float = 0.0, **changes) -> ArrayRecord:
    """Return arrays that a round may begin with: the first, where nothing is added."""
    overrides = [f"{key}={json.dumps(value)}" for key, value in changes.items()]
    arrays = global_start(resolve(load_plan(folder / "plan.yaml", overrides)), families()["vit"])
    return to_record({name: array + more for name, array in arrays.items()})
