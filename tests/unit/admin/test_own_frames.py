from django_director.admin.failure_card import own_frames

PACKAGE = '  File "/v/lib/python3.12/site-packages/celery/app/trace.py", line 479, in trace_task\n    R = fun()\n'
OWN = '  File "/srv/shop/orders/tasks.py", line 88, in load\n    with connect() as it:\n'
INNER = '  File "/srv/shop/orders/warehouse.py", line 31, in connect\n    raise ConnectionError("refused")\n'
LIBRARY = '  File "/usr/lib/python3.12/socket.py", line 12, in create\n    raise err\n'
HEAD = "Traceback (most recent call last):\n"


def places(traceback):
    return [frame.place for frame in own_frames(traceback)]


def test_only_the_lines_of_the_own_code_are_shown_the_innermost_last():
    found = own_frames(HEAD + PACKAGE + OWN + INNER + LIBRARY + "ConnectionError: refused\n")
    assert [(frame.place, frame.code) for frame in found] == [
        ("shop/orders/tasks.py:88, load", "with connect() as it:"),
        ("shop/orders/warehouse.py:31, connect", 'raise ConnectionError("refused")'),
    ]


def test_if_all_code_is_of_packages_the_innermost_line_is_shown():
    assert places(HEAD + PACKAGE + LIBRARY) == ["lib/python3.12/socket.py:12, create"]


def test_a_line_whose_file_could_not_be_read_has_no_code():
    found = own_frames(HEAD + '  File "/srv/a.py", line 3, in f\n' + OWN)
    assert [frame.code for frame in found] == ["", "with connect() as it:"]


def test_marks_below_a_line_are_not_taken_for_code():
    marked = '  File "/srv/a.py", line 3, in f\n    a / b\n    ~~^~~\nZeroDivisionError: division by zero\n'
    assert [frame.code for frame in own_frames(HEAD + marked)] == ["a / b"]


def test_no_traceback_and_one_that_is_none():
    assert own_frames("") == []
    assert own_frames("the worker was lost") == []


def test_of_very_many_lines_the_last_are_shown():
    deep = "".join(f'  File "/srv/shop/deep.py", line {n}, in f\n    f()\n' for n in range(5000))
    assert len(places(deep)) == 3
    assert places(deep)[-1] == "srv/shop/deep.py:4999, f"
