"""A chart's README, made from the comments of its values."""

import pathlib

OPERATOR = """# The chart `hersys-operator`

The surge operator: scales the mesh by a `SurgePlan`, which the chart [`hersys`](../hersys/) renders in its profile `surge`. It lives in
the namespace of the mesh and sees nothing outside of it. What levels are and how to set one is in
[`docs/scaling.md`](../../docs/scaling.md).

    helm install hersys-operator charts/hersys-operator --namespace hersys --set image.digest=sha256:…

`definition.yaml` is made from the code (`hersysctl surge definition`). `golden/` holds what the chart renders.

## Values

This file is made from the comments of `values.yaml` by `tests/chart/check.py --write`.

| value | default | meaning |
|---|---|---|
"""

HERSYS = """# The chart `hersys`

One chart for the whole mesh: a template for all services, network policies from one map of calls, certificates from cert-manager.
What must be there before it is in [`k8s/`](../../k8s/); how to run it is in [`docs/operations.md`](../../docs/operations.md).

    helm install hersys charts/hersys --namespace hersys -f charts/hersys/values-ha.yaml -f digests.yaml

| profile | values | for |
|---|---|---|
| `dev` | `values-dev.yaml` | one machine |
| `ha` | `values-ha.yaml` | production: two of everything, images by digest, budgets, alerts |
| `surge` | `values-ha.yaml` and `values-surge.yaml` | the surge operator scales, by the plan in these values; needs the chart `hersys-operator` |

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
    head = OPERATOR if chart.name == "hersys-operator" else HERSYS
    return head + "\n".join(rows) + "\n"
