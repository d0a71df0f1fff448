"""The names that becalm uses on objects. They are part of the interface: people's scripts read them."""

GROUP = "becalm.dev"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"

FINALIZER = "becalm.dev/release-workloads"
RECORD_ANNOTATION = "becalm.dev/quiesced"
COMMIT_ANNOTATION = "becalm.dev/commit-plan"
PROBE_ANNOTATION = "becalm.dev/probe-requested-at"
"""On a BackupRepository: whenever its value changes, the repository is opened again at once."""

MANAGED_BY_LABEL = "app.kubernetes.io/managed-by"
MANAGED_BY = "becalm"
ROLE_LABEL = "becalm.dev/role"
OWNER_KIND_LABEL = "becalm.dev/owner-kind"
OWNER_NAME_LABEL = "becalm.dev/owner-name"
OWNER_UID_LABEL = "becalm.dev/owner-uid"
SCHEDULE_LABEL = "becalm.dev/schedule"
CLAIM_ANNOTATION = "becalm.dev/claim"

FIELD_MANAGER = "becalm"
"""Who the API server says has set a field."""
