"""The first tables."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "assignments",
        sa.Column("assignment_id", sa.Text(), nullable=False),
        sa.Column("employee_id", sa.Text(), nullable=False),
        sa.Column("job_role_id", sa.Text(), nullable=False),
        sa.Column("valid_from", sa.Date(), nullable=True),
        sa.Column("valid_to", sa.Date(), nullable=True),
        sa.Column("source_updated_at", sa.DateTime(), nullable=True),
        sa.Column("custom", sa.Text(), nullable=True),
        sa.Column(
            "written_at", sa.DateTime(), server_default=sa.text("CURRENT_TIMESTAMP"), nullable=False
        ),
        sa.PrimaryKeyConstraint("assignment_id"),
        info={"folded": frozenset()},
    )
    op.create_index("ix_assignments_employee_id", "assignments", ["employee_id"], unique=False)
    op.create_table(
        "awards",
        sa.Column("award_record_id", sa.Text(), nullable=False),
        sa.Column("employee_id", sa.Text(), nullable=False),
        sa.Column("accessplanit_user_id", sa.Text(), nullable=True),
        sa.Column("employee_name", sa.Text(), nullable=True),
        sa.Column("award_id", sa.Text(), nullable=False),
        sa.Column("award_label", sa.Text(), nullable=True),
        sa.Column("status", sa.Text(), nullable=True),
        sa.Column("target_date", sa.Date(), nullable=True),
        sa.Column("completed_on", sa.Date(), nullable=True),
        sa.Column("expires_on", sa.Date(), nullable=True),
        sa.Column("renewed", sa.Boolean(), nullable=True),
        sa.Column("state", sa.Text(), nullable=True),
        sa.Column("superseded_by", sa.Text(), nullable=True),
        sa.Column("source_created_at", sa.DateTime(), nullable=True),
        sa.Column("source_updated_at", sa.DateTime(), nullable=True),
        sa.Column("custom", sa.Text(), nullable=True),
        sa.Column(
            "written_at", sa.DateTime(), server_default=sa.text("CURRENT_TIMESTAMP"), nullable=False
        ),
        sa.PrimaryKeyConstraint("award_record_id"),
        info={"folded": frozenset()},
    )
    op.create_index("ix_awards_employee_id", "awards", ["employee_id"], unique=False)
    op.create_table(
        "course_requests",
        sa.Column("course_request_id", sa.Text(), nullable=False),
        sa.Column("employee_id", sa.Text(), nullable=False),
        sa.Column("course_date_id", sa.Text(), nullable=False),
        sa.Column("course_label", sa.Text(), nullable=True),
        sa.Column("starts_at", sa.DateTime(), nullable=True),
        sa.Column("status", sa.Text(), nullable=True),
        sa.Column("approver", sa.Text(), nullable=True),
        sa.Column("decided_at", sa.DateTime(), nullable=True),
        sa.Column("venue", sa.Text(), nullable=True),
        sa.Column("source_created_at", sa.DateTime(), nullable=True),
        sa.Column("source_updated_at", sa.DateTime(), nullable=True),
        sa.Column("custom", sa.Text(), nullable=True),
        sa.Column(
            "written_at", sa.DateTime(), server_default=sa.text("CURRENT_TIMESTAMP"), nullable=False
        ),
        sa.PrimaryKeyConstraint("course_request_id"),
        info={"folded": frozenset()},
    )
    op.create_index(
        "ix_course_requests_employee_id", "course_requests", ["employee_id"], unique=False
    )
    op.create_table(
        "employees",
        sa.Column("employee_id", sa.Text(), nullable=False),
        sa.Column("accessplanit_id", sa.Text(), nullable=True),
        sa.Column("employee_number", sa.Text(), nullable=True),
        sa.Column("forenames", sa.Text(), nullable=True),
        sa.Column("surname", sa.Text(), nullable=False),
        sa.Column("email", sa.Text(), nullable=True),
        sa.Column("phone", sa.Text(), nullable=True),
        sa.Column("mobile", sa.Text(), nullable=True),
        sa.Column("job_title", sa.Text(), nullable=True),
        sa.Column("status", sa.Text(), nullable=True),
        sa.Column("company_id", sa.Text(), nullable=True),
        sa.Column("company_name", sa.Text(), nullable=True),
        sa.Column("access_role_id", sa.Text(), nullable=True),
        sa.Column("access_role", sa.Text(), nullable=True),
        sa.Column("full_address", sa.Text(), nullable=True),
        sa.Column("marketing_opt_in", sa.Boolean(), nullable=True),
        sa.Column("source_created_at", sa.DateTime(), nullable=True),
        sa.Column("source_updated_at", sa.DateTime(), nullable=True),
        sa.Column("custom", sa.Text(), nullable=True),
        sa.Column(
            "written_at", sa.DateTime(), server_default=sa.text("CURRENT_TIMESTAMP"), nullable=False
        ),
        sa.PrimaryKeyConstraint("employee_id"),
        info={"folded": frozenset({"accessplanit_id", "email", "employee_number"})},
    )
    op.create_table(
        "job_roles",
        sa.Column("job_role_id", sa.Text(), nullable=False),
        sa.Column("label", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=True),
        sa.Column("source_updated_at", sa.DateTime(), nullable=True),
        sa.Column("custom", sa.Text(), nullable=True),
        sa.Column(
            "written_at", sa.DateTime(), server_default=sa.text("CURRENT_TIMESTAMP"), nullable=False
        ),
        sa.PrimaryKeyConstraint("job_role_id"),
        info={"folded": frozenset()},
    )
    op.create_table(
        "registrations",
        sa.Column("registration_id", sa.Text(), nullable=False),
        sa.Column("employee_id", sa.Text(), nullable=False),
        sa.Column("course_date_id", sa.Text(), nullable=False),
        sa.Column("course_label", sa.Text(), nullable=True),
        sa.Column("starts_at", sa.DateTime(), nullable=True),
        sa.Column("ends_at", sa.DateTime(), nullable=True),
        sa.Column("status", sa.Text(), nullable=True),
        sa.Column("company_id", sa.Text(), nullable=True),
        sa.Column("company_name", sa.Text(), nullable=True),
        sa.Column("managers_emails", sa.Text(), nullable=True),
        sa.Column("source_created_at", sa.DateTime(), nullable=True),
        sa.Column("source_updated_at", sa.DateTime(), nullable=True),
        sa.Column("custom", sa.Text(), nullable=True),
        sa.Column(
            "written_at", sa.DateTime(), server_default=sa.text("CURRENT_TIMESTAMP"), nullable=False
        ),
        sa.PrimaryKeyConstraint("registration_id"),
        info={"folded": frozenset()},
    )
    op.create_index("ix_registrations_employee_id", "registrations", ["employee_id"], unique=False)
    for column in ("accessplanit_id", "employee_number", "email"):
        op.create_index(f"ix_employees_{column}", "employees", [sa.text(f"lower({column})")])


def downgrade() -> None:
    op.drop_index("ix_registrations_employee_id", table_name="registrations")
    op.drop_table("registrations")
    op.drop_table("job_roles")
    op.drop_table("employees")
    op.drop_index("ix_course_requests_employee_id", table_name="course_requests")
    op.drop_table("course_requests")
    op.drop_index("ix_awards_employee_id", table_name="awards")
    op.drop_table("awards")
    op.drop_index("ix_assignments_employee_id", table_name="assignments")
    op.drop_table("assignments")
