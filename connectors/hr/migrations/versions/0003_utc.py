"""Sets ``written_at`` of new rows in UTC, in any time zone of the session."""

from alembic import op

revision = "0003"
down_revision = "0002"
TABLES = "employees awards award_targets assignments course_requests job_roles registrations role_compliance".split()


def upgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        for table in TABLES:
            op.execute(
                f"ALTER TABLE {table} ALTER COLUMN written_at SET DEFAULT (now() AT TIME ZONE 'UTC')"
            )
