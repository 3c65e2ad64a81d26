"""The chart's README, made from the comments of its values."""

import pathlib

HEAD = """# The chart `hersys`

One chart for the whole mesh: a template for all services, network policies from one map of calls, certificates from cert-manager.
What must be there before it is in [`k8s/`](../../k8s/); how to run it is in [`docs/operations.md`](../../docs/operations.md).

    helm install hersys charts/hersys --namespace hersys -f charts/hersys/values-ha.yaml -f digests.yaml

| profile | values | for |
|---|---|---|
| `dev` | `values-dev.yaml` | one machine |
| `ha` | `values-ha.yaml` | production: two of everything, images by digest, budgets, alerts |
| `surge` | `values-ha.yaml` and `values-surge.yaml` | a wave: floors and ceilings up |

`golden/` holds what each profile renders; a change shows there. Never `helm upgrade --force`: it puts replicas back to one.

## Values

This file is made from the comments of `values.yaml` by `tests/chart/check.py --write`.

| value | default | meaning |
|---|---|---|
"""


def of(chart: pathlib.Path) -> str:
    rows, path, comment = [], [], []
    for line in (chart / "values.yaml").read_text().splitlines():
        text = line.strip()
        if text.startswith("#"):
            comment.append(text.lstrip("# "))
            continue
        if not text or ":" not in text or text.startswith("-"):
            comment = []
            continue
        key, value = (part.strip() for part in text.split(":", 1))
        depth = (len(line) - len(line.lstrip())) // 2
        path = [*path[:depth], key]
        if comment or value:
            rows.append(f"| `{'.'.join(path)}` | {f'`{value}`' if value else ''} | {' '.join(comment)} |")
        comment = []
    return HEAD + "\n".join(rows) + "\n"
