"""Adds the columns and tables for all processes other than users and awards.

Triggers set ``written_at`` in the tables whose rows HR itself changes.
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

NEW_COLUMNS = {
    "employees": "address town county postcode country custom_for_accessplanit",
    "job_roles": "status",
    "assignments": "accessplanit_user_id job_role_label source_created_at:moment",
    "registrations": "accessplanit_user_id employee_name email description course_id training_provider_id course_starts",
    "course_requests": "accessplanit_user_id employee_name email company_id company_name managers_emails description"
    " course_name ends_at:moment decision course_starts forenames surname",
}
NEW_TABLES = {
    "award_targets": "award_target_id employee_id! accessplanit_user_id employee_name award_id! award_label status"
    " target_date:day source_created_at:moment source_updated_at:moment",
    "role_compliance": "compliance_id employee_id! accessplanit_user_id job_role_id! job_role_label award_id! award_label"
    " state! expires_on:day target_date:day as_of:day",
}
WITH_TRIGGER = {
    "employees": "employee_id",
    "award_targets": "award_target_id",
    "assignments": "assignment_id",
    "course_requests": "course_request_id",
}
"""Key column of each table whose rows HR changes, too."""

# Columns are written as name:kind. Text columns have no kind. "!" stands for NOT NULL. The first
# column of a new table is its key.
TYPES = {"": sa.Text, "day": sa.Date, "moment": sa.DateTime}


def column(written: str, key: bool = False, default: str | None = None) -> sa.Column[object]:
    name, _, kind = written.partition(":")
    return sa.Column(
        name.rstrip("!"),
        TYPES[kind](),
        nullable=not (key or name.endswith("!")),
        server_default=default,
    )


def upgrade() -> None:
    for table, columns in NEW_COLUMNS.items():
        with op.batch_alter_table(table) as changed:
            for text in columns.split():
                changed.add_column(column(text))
    for table, columns in NEW_TABLES.items():
        key, *others = columns.split()
        op.create_table(
            table,
            column(key, key=True),
            *(
                column(
                    text, default="Target" if (table, text) == ("award_targets", "status") else None
                )
                for text in others
            ),
            sa.Column("custom", sa.Text(), nullable=True),
            sa.Column(
                "written_at",
                sa.DateTime(),
                server_default=sa.text("CURRENT_TIMESTAMP"),
                nullable=False,
            ),
            sa.PrimaryKeyConstraint(key),
        )
        op.create_index(f"ix_{table}_employee_id", table, ["employee_id"])
    sqlite = op.get_bind().dialect.name == "sqlite"
    if not sqlite:
        op.execute(
            "CREATE FUNCTION hrsync_stamp() RETURNS trigger AS $$ BEGIN NEW.written_at := now() AT TIME ZONE 'UTC'; RETURN NEW; END $$"
            " LANGUAGE plpgsql"
        )
    for table, key in WITH_TRIGGER.items():
        if sqlite:
            op.execute(
                f"CREATE TRIGGER {table}_stamp AFTER UPDATE ON {table} WHEN NEW.written_at IS OLD.written_at"
                f" BEGIN UPDATE {table} SET written_at = CURRENT_TIMESTAMP WHERE {key} = NEW.{key}; END"
            )
        else:
            op.execute(
                f"CREATE TRIGGER {table}_stamp BEFORE UPDATE ON {table} FOR EACH ROW"
                " WHEN (NEW.written_at IS NOT DISTINCT FROM OLD.written_at) EXECUTE FUNCTION hrsync_stamp()"
            )
