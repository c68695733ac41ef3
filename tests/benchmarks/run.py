"""Run every bench_*.py of this folder that has a main(), or those named: ``run.py drizzle ingest``."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

HERE = Path(__file__).resolve().parent


def load(path: Path) -> ModuleType:
    """Import a benchmark by its path."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} cannot be imported")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def wanted(names: list[str]) -> list[Path]:
    """The benchmarks named, or all of them, in order of their names."""
    paths = sorted(HERE.glob("bench_*.py"))
    unknown = set(names) - {path.stem.removeprefix("bench_") for path in paths}
    if unknown:
        raise SystemExit(f"no benchmark named {', '.join(sorted(unknown))}")
    return [path for path in paths if not names or path.stem.removeprefix("bench_") in names]


def main(names: list[str]) -> None:
    """Run them one after another, each under a heading."""
    sys.path.insert(0, str(HERE.parent))
    for path in wanted(names):
        print(f"== {path.stem.removeprefix('bench_')}", flush=True)
        module = load(path)
        if hasattr(module, "main"):
            module.main()


if __name__ == "__main__":
    main(sys.argv[1:])
