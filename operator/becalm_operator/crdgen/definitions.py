"""The CustomResourceDefinitions: names, columns, and the schemas of the models."""

from dataclasses import dataclass
from typing import Any

from becalm_operator.api.backup import Backup
from becalm_operator.api.names import GROUP, SCHEDULE_LABEL, VERSION
from becalm_operator.api.repository import BackupRepository
from becalm_operator.api.restore import Restore
from becalm_operator.api.schedule import BackupSchedule
from becalm_operator.crdgen.schema import Schema, structural

Kind = type[Backup] | type[Restore] | type[BackupRepository] | type[BackupSchedule]


@dataclass(frozen=True, slots=True)
class Column:
    """A column of `kubectl get`. Those that are `wide` show with `-o wide` only."""

    name: str
    path: str
    type: str = "string"
    wide: bool = False

    def document(self) -> dict[str, Any]:
        """Return the column as a CRD has it."""
        made = {"name": self.name, "type": self.type, "jsonPath": self.path}
        return {**made, "priority": 1} if self.wide else made


@dataclass(frozen=True, slots=True)
class Definition:
    """One kind, and how it shows."""

    kind: Kind
    short_name: str
    columns: tuple[Column, ...]

    @property
    def file_name(self) -> str:
        """The file that holds it."""
        return f"{GROUP}_{self.kind.plural}.yaml"

    def document(self) -> dict[str, Any]:
        """Return the CustomResourceDefinition."""
        version = {
            "name": VERSION,
            "served": True,
            "storage": True,
            "subresources": {"status": {}},
            "additionalPrinterColumns": [column.document() for column in self.columns],
            "schema": {"openAPIV3Schema": self._schema()},
        }
        return {
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": {"name": f"{self.kind.plural}.{GROUP}"},
            "spec": {
                "group": GROUP,
                "scope": "Namespaced",
                "names": {
                    "kind": self.kind.kind,
                    "listKind": f"{self.kind.kind}List",
                    "plural": self.kind.plural,
                    "singular": self.kind.kind.lower(),
                    "shortNames": [self.short_name],
                    "categories": ["becalm"],
                },
                "versions": [version],
            },
        }

    def _schema(self) -> Schema:
        kind = self.kind
        spec = structural(kind.model_fields["spec"].annotation, defaults=True)  # type: ignore[arg-type]  # a Model
        status = structural(kind.model_fields["status"].annotation, defaults=False)  # type: ignore[arg-type]
        made: Schema = {
            "type": "object",
            "description": (kind.__doc__ or "").strip(),
            "required": ["spec"],
            "properties": {
                "apiVersion": {"type": "string"},
                "kind": {"type": "string"},
                "metadata": {"type": "object"},
                "spec": _with_rules(spec, kind.spec_rules),
                "status": {**status, "description": (status.get("description") or "")},
            },
        }
        return _with_rules(made, kind.rules)


def _with_rules(schema: Schema, rules: dict[str, str]) -> Schema:
    """Return a schema with more CEL rules."""
    if not rules:
        return schema
    more = [{"rule": rule, "message": message} for rule, message in rules.items()]
    return {**schema, "x-kubernetes-validations": [*schema.get("x-kubernetes-validations", []), *more]}


def _condition(kind: str, field: str) -> str:
    return f'.status.conditions[?(@.type=="{kind}")].{field}'


def _label(name: str) -> str:
    return ".metadata.labels." + name.replace(".", "\\.")


_AGE = Column("Age", ".metadata.creationTimestamp", "date")
_ENDED = Column("Ended", ".status.completionTime", "date", wide=True)
_DEADLINE = Column("Deadline", ".status.deadline", wide=True)
_MESSAGE = Column("Message", ".status.message", wide=True)


_REPOSITORY = (
    Column("Ready", _condition("Ready", "status")),
    Column("Reason", _condition("Ready", "reason")),
    Column("Last Probe", ".status.lastProbeTime", "date"),
    _AGE,
    Column("Message", _condition("Ready", "message"), wide=True),
    Column("ID", ".status.repositoryID", wide=True),
)
_SCHEDULE = (
    Column("Schedule", ".spec.schedule"),
    Column("Time Zone", ".spec.timeZone"),
    Column("Suspend", ".spec.suspend", "boolean"),
    Column("Active", ".status.active[0]"),
    Column("Last Success", ".status.lastSuccessfulTime", "date"),
    Column("Next", ".status.nextScheduleTime"),
    Column("Reason", _condition("Ready", "reason")),
    _AGE,
    Column("Last Schedule", ".status.lastScheduleTime", "date", wide=True),
    Column("Message", _condition("Ready", "message"), wide=True),
)
_BACKUP = (
    Column("Phase", ".status.phase"),
    Column("Reason", ".status.reason"),
    Column("Repository", ".spec.repositoryRef.name"),
    Column("Size", ".status.size"),
    Column("Downtime", ".status.downtime"),
    _AGE,
    Column("Schedule", _label(SCHEDULE_LABEL), wide=True),
    _ENDED,
    _DEADLINE,
    _MESSAGE,
)
_RESTORE = (
    Column("Phase", ".status.phase"),
    Column("Reason", ".status.reason"),
    Column("Repository", ".spec.repositoryRef.name"),
    Column("Backup", ".spec.source.backupName"),
    Column("Downtime", ".status.downtime"),
    _AGE,
    _ENDED,
    _DEADLINE,
    _MESSAGE,
)


def definitions() -> tuple[Definition, ...]:
    """Return all kinds."""
    return (
        Definition(BackupRepository, "bkrepo", _REPOSITORY),
        Definition(BackupSchedule, "bksched", _SCHEDULE),
        Definition(Backup, "bkrun", _BACKUP),
        Definition(Restore, "bkrestore", _RESTORE),
    )
