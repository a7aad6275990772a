from django_director.drawing.folds import MAX_BOXES, fold
from django_director.graph import compile_definition
from tests.factories import chain, definition, group


def units_of(*tasks):
    return fold(compile_definition(definition("a.b", *tasks)))


def names(count, prefix="t"):
    return [f"{prefix}{number}" for number in range(count)]


def labels(units):
    return [unit.label for unit in units]


def test_a_small_graph_is_not_folded():
    units = units_of("A", group("G", *names(MAX_BOXES - 2)), "B")
    assert len(units) == MAX_BOXES
    assert not any(unit.is_folded for unit in units)


def test_a_large_group_becomes_one_box_and_a_small_one_stays_open():
    units = units_of("A", group("BIG", *names(600)), group("SMALL", "X", "Y"), "B")
    assert labels(units) == ["A", "BIG", "X", "Y", "B"]
    assert [len(unit.positions) for unit in units] == [1, 600, 1, 1, 1]


def test_no_more_is_folded_than_needed():
    """Of nested groups the inner ones: ten boxes say more than one."""
    inner = [group(f"G{n}", *names(60, f"{n}-")) for n in range(10)]
    assert labels(units_of(group("OUTER", *inner))) == [f"G{n}" for n in range(10)]


def test_many_small_containers_fold_too():
    inner = [chain(f"C{n}", f"{n}a", f"{n}b") for n in range(300)]
    units = units_of("A", group("OUTER", *inner), "B")
    assert len(units) <= MAX_BOXES
    assert sum(len(unit.positions) for unit in units) == 602


def test_a_long_chain_folds_into_stretches():
    units = units_of(*names(1_000))
    assert 10 <= len(units) <= 50
    assert units[0].label.startswith("t0 … ")
    assert units[-1].label.endswith(" … t999")


def test_each_task_is_in_one_unit():
    units = units_of(*names(700, "a"), group("G", *names(800)), *names(30, "z"))
    positions = sorted(position for unit in units for position in unit.positions)
    assert positions == list(range(1_530))
    assert len(units) < 60
