"""Run the tests with restricted instruction sets and thread counts, as on other processors.

    python tests/portable.py              # every configuration, all tests of `make test`; about six minutes each
    python tests/portable.py --fast       # one configuration, the tests that compare numbers most closely
    python tests/portable.py avx2 -- -k latitude

Sums, sines and matrix products differ in their last bits between processors with and without AVX2 or AVX-512, and
between thread counts. A test that passes in every configuration here depends on none of them.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parent.parent
FAST = ["tests/test_arithmetic.py", "tests/audit", "tests/surfaces", "tests/summaries"]
"""Tests that compare sums, areas and quotients; the whole suite takes too long for every commit."""


def numpy_features(*, keep_avx2: bool) -> str:
    """Return the dispatched SIMD features of NumPy that this machine has and the configuration switches off.

    Only features that NumPy found may be named: it warns about others, and warnings are errors here.
    """
    found = np.show_config(mode="dicts")["SIMD Extensions"].get("found", [])
    return " ".join(name for name in found if not (keep_avx2 and name in ("X86_V3", "AVX2", "FMA3")))


def configurations() -> dict[str, dict[str, str]]:
    """Return the environment variables of each configuration, by its name."""
    avx2 = {
        "ATEN_CPU_CAPABILITY": "avx2",
        "ONEDNN_MAX_CPU_ISA": "AVX2",
        "NPY_DISABLE_CPU_FEATURES": numpy_features(keep_avx2=True),
    }
    baseline = {
        "ATEN_CPU_CAPABILITY": "default",
        "ONEDNN_MAX_CPU_ISA": "SSE41",
        "NPY_DISABLE_CPU_FEATURES": numpy_features(keep_avx2=False),
    }
    return {
        "avx2": avx2 | {"OMNICONV_TEST_THREADS": "1"},
        "avx2-two-threads": avx2 | {"OMNICONV_TEST_THREADS": "2"},
        "baseline": baseline | {"OMNICONV_TEST_THREADS": "1"},
        "baseline-two-threads": baseline | {"OMNICONV_TEST_THREADS": "2"},
    }


def main() -> int:
    """Run the chosen configurations one after the other; return 1 if a test failed in any of them."""
    known = configurations()
    parser = argparse.ArgumentParser(description="Run the tests with restricted instruction sets.")
    parser.add_argument("names", nargs="*", metavar="CONFIGURATION", help=f"of {', '.join(known)}; default: all")
    parser.add_argument("--fast", action="store_true", help="one configuration and the tests of sums and areas only")
    parser.add_argument("--workers", default="2", help="processes that run tests")
    own, for_pytest = sys.argv[1:], []
    if "--" in own:
        place = own.index("--")
        own, for_pytest = own[:place], own[place + 1 :]
    arguments = parser.parse_args(own)
    unknown = [name for name in arguments.names if name not in known]
    if unknown:
        parser.error(f"CONFIGURATION={unknown[0]!r}: must be one of {', '.join(known)}")
    failed = []
    for name in arguments.names or (["baseline"] if arguments.fast else known):
        print(f"\n{name}: {' '.join(f'{key}={value!r}' for key, value in known[name].items())}", flush=True)
        command = [sys.executable, "-m", "pytest", "-n", arguments.workers, *(FAST if arguments.fast else [])]
        environment = {key: value for key, value in (os.environ | known[name]).items() if value}
        if subprocess.run([*command, *for_pytest], cwd=ROOT, env=environment, check=False).returncode:
            failed.append(name)
    print(f"\nfailed: {', '.join(failed)}" if failed else "\nall configurations passed", flush=True)
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
