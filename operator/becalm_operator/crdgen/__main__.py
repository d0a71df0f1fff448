"""`python -m becalm_operator.crdgen`: writes what is generated, or with `--check` says what is stale."""

import sys
from collections.abc import Sequence
from pathlib import Path

import yaml

from becalm_operator.crdgen.checkout import run
from becalm_operator.crdgen.definitions import Definition, definitions
from becalm_operator.crdgen.reference import reference

_NOTE = "# Generated from the models in operator/becalm_operator/api by `make generate`.\n"
_CHART_HEAD = "{{- if .Values.crds.install }}\n"
_CHART_METADATA = """  labels: {{- include "becalm.labels" . | nindent 4 }}
  {{- if .Values.crds.keep }}
  annotations:
    helm.sh/resource-policy: keep
  {{- end }}
"""


class _Dumper(yaml.SafeDumper):
    """Spells out what stands in several places: people read CRDs, and few tools that show them follow aliases."""

    def ignore_aliases(self, data: object) -> bool:  # noqa: ARG002  PyYAML asks so
        """Say that nothing is worth an alias."""
        return True


def main(words: Sequence[str]) -> int:
    """Write the files, or compare them; returns the exit code."""
    return run(words, prog="python -m becalm_operator.crdgen", description=__doc__, files=files)


def files(root: Path) -> dict[Path, str]:
    """Return what every generated file should hold."""
    every = definitions()
    made = {root / "docs" / "reference.md": reference(every)}
    for definition in every:
        text = yaml.dump(
            definition.document(), Dumper=_Dumper, sort_keys=False, width=120, allow_unicode=True
        )
        made[root / "crds" / definition.file_name] = _NOTE + text
        made[root / "charts" / "becalm" / "templates" / "crds" / definition.file_name] = _for_chart(
            definition, text
        )
    return made


def _for_chart(definition: Definition, text: str) -> str:
    """Return the CRD as a template: Helm installs what lies in its own `crds` folder once, and never upgrades it."""
    name = f"  name: {definition.kind.plural}.becalm.dev\n"
    templated = text.replace("{{", "{{ `{{` }}")
    return _NOTE + _CHART_HEAD + templated.replace(name, name + _CHART_METADATA, 1) + "{{- end }}\n"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
