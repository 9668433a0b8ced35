"""Arrays in fewer bytes: what is lost, that it comes after, and that nothing else is taken for them."""

import pytest
import torch

from fedgrow.config.plan import CompressionPlan
from fedgrow.disk.atomic import read_tensors
from fedgrow.errors import FedgrowError
from fedgrow.exchange.compression import COMPRESSIONS, compress, compression_of, restore
from fedgrow.exchange.compression.int4 import Int4
from fedgrow.exchange.compression.int8 import Int8
from fedgrow.exchange.compression.ternary import Ternary
from fedgrow.exchange.contract import ARRAYS, EVALUATE, GROW, METRICS, SAVE, WEIGHT
from fedgrow.exchange.records import from_record
from fedgrow.exchange.wire import from_bytes
from fedgrow.learners.dual_ligo import global_operator
from fedgrow.runs.folder import RunFolder
from tests.federation import run_tiny
from tests.written import forms

LOSSY = [name for name in COMPRESSIONS if name != "none"]


def change(seed: int = 0, *shape: int) -> torch.Tensor:
    return torch.randn(*(shape or (7, 5)), generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(
    ("kind", "bytes_each", "loses"),
    [("none", 4, 0.0), ("float16", 2, 2**-11), ("bfloat16", 2, 2**-8), ("int8", 1, None)],
)
def test_size_and_loss_of_one_array(kind, bytes_each, loses):
    array = change(0, 64, 32)
    parts = COMPRESSIONS[kind]().encode(array)
    assert parts[""].element_size() == bytes_each
    read = COMPRESSIONS[kind]().decode(parts, array.shape)
    assert read.dtype == torch.float32
    error = (read - array).abs()
    if loses is None:
        assert error.max() <= array.abs().max() / 254 * 1.001
    else:
        assert (error <= loses * array.abs()).all()
    assert (error.max() > 0) == (kind != "none")


@pytest.mark.parametrize("kind", COMPRESSIONS)
@pytest.mark.parametrize("shape", [(64, 32), (3,), (1, 1)])
def test_the_size_is_known_before(kind, shape):
    array, compression = change(0, *shape), COMPRESSIONS[kind]()
    written = sum(part.nbytes for part in compression.encode(array).values())
    assert compression.size(array.numel()) == written


@pytest.mark.parametrize("shape", [(64, 32), (7, 5), (1,), (0,)])
def test_int4_writes_two_numbers_in_a_byte(shape):
    array = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    parts = Int4().encode(array)
    assert (parts[""].dtype, parts[""].numel()) == (torch.uint8, (array.numel() + 1) // 2)
    read = Int4().decode(parts, array.shape)
    assert (read - array).abs().le(parts["scale"] / 2 * 1.001).all()
    whole = torch.tensor([-7.0, -1.0, 0.0, 1.0, 7.0])
    assert torch.equal(Int4().decode(Int4().encode(whole), whole.shape), whole)


def test_ternary_keeps_the_signs_of_large_entries_four_in_a_byte():
    array = torch.tensor([[3.0, -0.1, -5.0], [0.0, 4.0, 0.2]])  # mean size 2.05; beyond 1.435: 3, 5 and 4
    parts = Ternary().encode(array)
    assert (parts[""].dtype, parts[""].tolist()) == (torch.uint8, [0b00_11_00_01, 0b01])
    assert Ternary().decode(parts, array.shape).tolist() == [[4.0, 0.0, -4.0], [0.0, 4.0, 0.0]]
    for count in (0, 1, 4, 5, 64):
        array = torch.randn(count, generator=torch.Generator().manual_seed(count))
        read = Ternary().decode(Ternary().encode(array), array.shape)
        assert read.shape == array.shape
        assert ((read == 0) | (read.sign() == array.sign())).all()
        assert (read - array).norm() < array.norm() or not count


@pytest.mark.parametrize("kind", LOSSY)
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_not_finite_is_not_hidden(kind, value):
    given, sent = {"a": torch.zeros(5)}, {"a": torch.tensor([1.0, 2.0, value, 1.0, 1.0])}
    with pytest.raises(FedgrowError, match="array 'a' changed by values that are not finite"):
        compress(COMPRESSIONS[kind](), sent, given, {})
    with pytest.raises(FedgrowError, match="not finite"):
        compress(COMPRESSIONS[kind](), given, given, sent)


@pytest.mark.parametrize(
    ("kind", "written"), [("ternary", 0b10), ("ternary", 0b01_000000), ("int4", 0x08), ("int4", 0x11)]
)
def test_what_encoding_never_makes_is_refused(kind, written):
    """Three numbers in ternary, one in int4: the last place is beyond the end."""
    shape = torch.Size([3 if kind == "ternary" else 1])
    parts = COMPRESSIONS[kind]().encode(torch.ones(shape))
    parts[""][0] = written
    with pytest.raises(FedgrowError, match=r"array holds .*beyond its end"):
        COMPRESSIONS[kind]().decode(parts, shape)


@pytest.mark.parametrize("kind", [name for name in COMPRESSIONS if name != "top-k"])
def test_searches_for_private_arrays_know_the_form(kind):
    private = {"a": change(3, 16, 8)}
    travels, _ = compress(COMPRESSIONS[kind](), private, {"a": torch.zeros(16, 8)}, {})
    written = travels["a"].view(torch.uint8).numpy().tobytes()
    assert forms(private["a"])[kind] == written


def test_the_largest_travel_in_order():
    array = torch.tensor([[0.0, -3.0, 1.0], [2.0, 0.5, -0.25]])
    parts = COMPRESSIONS["top-k"](0.5).encode(array)  # type: ignore[call-arg]
    assert parts["places"].tolist() == [1, 2, 3]
    assert parts["values"].tolist() == [-3.0, 1.0, 2.0]
    read = COMPRESSIONS["top-k"]().decode(parts, array.shape)
    assert read.tolist() == [[0.0, -3.0, 1.0], [2.0, 0.0, 0.0]]


@pytest.mark.parametrize("kind", LOSSY)
def test_what_is_lost_comes_after(kind):
    """With error feedback the sum of what arrived, and what is still kept, is the sum of all changes."""
    compression, given, lost = COMPRESSIONS[kind](), {"a": change(9)}, {}
    arrived, due = torch.zeros(7, 5), torch.zeros(7, 5)
    for step in range(6):
        sent = {"a": given["a"] + change(step)}
        travels, lost = compress(compression, sent, given, lost)
        arrived += restore(compression, travels, given)["a"] - given["a"]
        due += change(step)
    assert torch.allclose(arrived + lost["a"], due, atol=1e-5)
    assert lost["a"].abs().max() > 1e-6


@pytest.mark.parametrize("kind", COMPRESSIONS)
def test_what_did_not_change_arrives_as_it_was_to_the_bit(kind):
    given = {"a": change(1), "b": torch.zeros(3)}
    travels, lost = compress(COMPRESSIONS[kind](), given, given, {})
    assert all(
        torch.equal(restored, given[n])
        for n, restored in restore(COMPRESSIONS[kind](), travels, given).items()
    )
    assert all(not left.any() for left in lost.values())


@pytest.mark.parametrize("kind", LOSSY)
@pytest.mark.parametrize("spoil", ["missing", "shape", "type"])
def test_other_parts_are_refused(kind, spoil):
    given = {"a": change(1)}
    travels, _ = compress(COMPRESSIONS[kind](), {"a": change(2)}, given, {})
    name = next(iter(travels))
    if spoil == "missing":
        del travels[name]
    elif spoil == "shape":
        travels[name] = travels[name].reshape(-1)[:-1]
    else:
        travels[name] = travels[name].double() if travels[name].dtype != torch.uint16 else travels[name].int()
    with pytest.raises(FedgrowError, match=r"array '.*' did not travel as"):
        restore(COMPRESSIONS[kind](), travels, given)


@pytest.mark.parametrize("places", [[0, 0], [1, 0], [-1, 0], [0, 35]])
def test_places_outside_or_twice_are_refused(places):
    parts = {"places": torch.tensor(places, dtype=torch.int32), "values": torch.ones(2, dtype=torch.float16)}
    with pytest.raises(FedgrowError, match="not in order, or outside"):
        COMPRESSIONS["top-k"]().decode(parts, torch.Size([7, 5]))


def test_a_fraction_is_for_top_k():
    with pytest.raises(ValueError, match="kind 'int8' has none"):
        CompressionPlan(kind="int8", fraction=0.1)
    assert compression_of(CompressionPlan(kind="top-k", fraction=0.25)).fraction == 0.25  # type: ignore[attr-defined]
    assert set(COMPRESSIONS) == set(CompressionPlan.model_json_schema()["properties"]["kind"]["enum"])


def test_a_stopped_run_goes_on_to_the_same_operator(tmp_path):
    """What was lost is kept at the participant, round by round."""
    settings = {"compression": {"kind": "int8", "down": "int8"}, "schedule": {"rounds": 3, "steps": 2}}
    whole = run_tiny(tmp_path / "whole", **settings)
    asked = 0

    def stop(way, data):
        nonlocal asked
        asked += way == "down"
        if asked == 3 * 4 + 2:  # in the middle of the second round
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_tiny(tmp_path / "stopped", tap=stop, **settings)
    resumed = run_tiny(tmp_path / "stopped", resume=True, **settings)
    files = [next((tmp_path / run).rglob("operator.safetensors")) for run in ("whole", "stopped")]
    assert files[0].read_bytes() == files[1].read_bytes()
    assert resumed["exchange"]["bytes_up"] == whole["exchange"]["bytes_up"]
    plain = run_tiny(tmp_path / "plain", schedule=settings["schedule"])
    assert whole["exchange"]["bytes_up"] < plain["exchange"]["bytes_up"]
    assert whole["exchange"]["bytes_down"] < plain["exchange"]["bytes_down"]


@pytest.mark.parametrize("down", ["float16", "bfloat16", "int8", "int4"])
def test_what_is_given_to_train_on_is_smaller_too(tmp_path, down):
    """Only that: the operator that is evaluated and saved comes as it is. Rounding on the way is not added to it."""
    given: dict[str, list] = {}
    sent: list = []

    def look(way, data):
        message = from_bytes(data)
        if way == "up" and ARRAYS in message.content:
            sent.append((from_record(message.content[ARRAYS]), message.content[METRICS][WEIGHT]))
        elif way == "down" and message.content[ARRAYS]:
            given.setdefault(message.metadata.message_type, []).append(from_record(message.content[ARRAYS]))

    schedule = {"rounds": 2, "steps": 2}
    run_tiny(tmp_path / "run", tap=look, schedule=schedule, compression={"kind": "float16", "down": down})
    operator = read_tensors(tmp_path / "run" / "operator" / "operator.safetensors")
    assert set(given) == {GROW, EVALUATE, SAVE}
    for kind in (EVALUATE, SAVE):
        assert all(a.dtype == torch.float32 for a in given[kind][-1].values())
    assert all(torch.equal(given[SAVE][-1][name], operator[name]) for name in operator)

    rounding = COMPRESSIONS[down]()
    folder = RunFolder(tmp_path / "run")
    start = global_operator(folder.plan, folder.family).initial()
    first, second = given[GROW][0], given[GROW][-1]
    assert {a.dtype for a in first.values()} == {a.dtype for a in second.values()} <= {
        torch.uint8, torch.int8, torch.float16, torch.uint16, torch.float32,
    }  # fmt: skip
    assert sum(a.nbytes for a in second.values()) < 0.6 * sum(a.nbytes for a in operator.values())
    held, read = given[EVALUATE][0], restore(rounding, second, start)
    assert all(torch.equal(a, start[name]) for name, a in restore(rounding, first, start).items())
    steps = {"float16": 2**-11, "bfloat16": 2**-8, "int8": 1 / 254, "int4": 1 / 14}
    for name, array in held.items():
        most = float((array - start[name]).abs().max())
        assert torch.allclose(read[name], array, rtol=0, atol=steps[down] * most * 1.01 + 1e-6)
    assert any(not torch.equal(read[name], array) for name, array in held.items())

    last = sent[len(sent) // 2 :]  # of the second round
    for name, array in held.items():
        change = sum(arrays[name].double() * n for arrays, n in last) / sum(n for _, n in last)
        assert torch.allclose(given[EVALUATE][-1][name].double(), array + change, rtol=0, atol=1e-7)


def test_changes_come_back_to_what_was_rounded():
    with pytest.raises(ValueError, match="down: int8 needs a kind other than 'none'"):
        CompressionPlan(down="int8")


def test_what_is_not_finite_once_it_is_read_back_is_refused(tmp_path):
    """A scale may be finite, and 127 of it not."""

    class Grown(Int8):
        def encode(self, change):
            parts = super().encode(change)
            return {"": torch.full_like(parts[""], 127), "scale": torch.full_like(parts["scale"], 3e38)}

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(COMPRESSIONS, "int8", Grown)
        with pytest.raises(FedgrowError, match="not finite, once it is read back"):
            run_tiny(tmp_path / "run", compression={"kind": "int8"})
