from __future__ import annotations

import re
import subprocess
import sys

import pytest

from omniconv.errors import InputError
from omniconv.tasks import TASKS, get_task, register_task
from omniconv.tasks.segment import Segment


class Count(Segment):
    name = "count"


@pytest.mark.parametrize("name", TASKS)
def test_a_task_has_the_name_it_is_registered_by(name):
    assert get_task(name).name == name
    assert get_task(name) is get_task(name)


@pytest.mark.parametrize(
    ("name", "cure"),
    [
        ("segmnt", "did you mean segment?"),
        ("clasify", "did you mean classify?"),
        ("xyz", f"use task={next(iter(TASKS))!r}"),
        (None, f"use task={next(iter(TASKS))!r}"),
    ],
)
def test_an_unknown_name_is_refused_with_the_nearest(name, cure):
    with pytest.raises(InputError, match=re.escape(f"must be one of {', '.join(TASKS)}; {cure}")):
        get_task(name)


def test_a_registered_task_is_found(monkeypatch):
    monkeypatch.setattr("omniconv.tasks.TASKS", dict(TASKS))
    task = Count()
    register_task(task, "a table of counts")
    assert get_task("count") is task
    with pytest.raises(InputError, match="task='count': is the name of another task"):
        register_task(task, "a table of counts")


def test_only_tasks_are_registered():
    with pytest.raises(InputError, match=r"must be an instance of omniconv\.tasks\.base\.Task; derive"):
        register_task(object(), "a table of counts")


def test_names_need_no_torch():
    script = "import sys, omniconv.tasks as tasks; list(tasks.TASKS); sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", script], check=True)
