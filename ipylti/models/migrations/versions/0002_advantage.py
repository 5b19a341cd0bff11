"""Invitations, rosters, blueprints of assignments"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def _columns() -> dict[str, tuple[sa.Column, ...]]:
    """Return the new columns by table: such as SQLite adds in place, nullable or with a constant default."""
    return {
        "assignments": (
            sa.Column("due_at", sa.DateTime(), nullable=True),
            sa.Column("maximum", sa.Double(), nullable=True),
            sa.Column("blueprint_id", sa.Text(), nullable=True),
            sa.Column("source_id", sa.Text(), nullable=True),
        ),
        "outbox": (sa.Column("resent_at", sa.DateTime(), nullable=True),),
        "registrations": (
            sa.Column("name", sa.Text(), server_default="", nullable=False),
            sa.Column("awaits_deployment", sa.Boolean(), server_default=sa.false(), nullable=False),
        ),
        "resource_links": (
            sa.Column("memberships_url", sa.Text(), nullable=True),
            sa.Column("roster_at", sa.DateTime(), nullable=True),
        ),
        "submissions": (sa.Column("manifest", sa.Text(), nullable=True),),
    }


def upgrade() -> None:
    op.create_table(
        "invitations",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.Column("expires_at", sa.DateTime(), nullable=False),
        sa.Column("used_at", sa.DateTime(), nullable=True),
        sa.Column("registration_id", sa.Integer(), nullable=True),
        sa.ForeignKeyConstraint(
            ["registration_id"],
            ["registrations.id"],
            name=op.f("fk_invitations_registration_id_registrations"),
            ondelete="SET NULL",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_invitations")),
        sa.UniqueConstraint("digest", name=op.f("uq_invitations_digest")),
    )
    op.create_table(
        "members",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("resource_link_id", sa.Integer(), nullable=False),
        sa.Column("sub", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("roles", sa.JSON(), nullable=False),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(
            ["resource_link_id"],
            ["resource_links.id"],
            name=op.f("fk_members_resource_link_id_resource_links"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_members")),
        sa.UniqueConstraint("resource_link_id", "sub", name=op.f("uq_members_resource_link_id")),
    )
    op.create_table(
        "blueprints",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("deployment_id", sa.Integer(), nullable=False),
        sa.Column("context_id", sa.Integer(), nullable=True),
        sa.Column("person_id", sa.Integer(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("image", sa.Text(), nullable=True),
        sa.Column("egress", sa.Boolean(), nullable=True),
        sa.Column("due_at", sa.DateTime(), nullable=True),
        sa.Column("maximum", sa.Double(), nullable=True),
        sa.Column("source_id", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["deployment_id"], ["deployments.id"], name=op.f("fk_blueprints_deployment_id_deployments")
        ),
        sa.ForeignKeyConstraint(
            ["context_id"], ["contexts.id"], name=op.f("fk_blueprints_context_id_contexts")
        ),
        sa.ForeignKeyConstraint(["person_id"], ["persons.id"], name=op.f("fk_blueprints_person_id_persons")),
        sa.ForeignKeyConstraint(
            ["source_id"], ["assignments.id"], name=op.f("fk_blueprints_source_id_assignments")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_blueprints")),
    )
    op.create_index(op.f("ix_blueprints_deployment_id"), "blueprints", ["deployment_id"])
    op.create_index(op.f("ix_blueprints_context_id"), "blueprints", ["context_id"])
    for table, columns in _columns().items():
        for column in columns:
            op.add_column(table, column)
    op.create_index(op.f("ix_assignments_blueprint_id"), "assignments", ["blueprint_id"])


def downgrade() -> None:
    op.drop_index(op.f("ix_assignments_blueprint_id"), "assignments")
    for table, columns in _columns().items():
        for column in columns:
            op.drop_column(table, column.name)
    op.drop_index(op.f("ix_blueprints_context_id"), "blueprints")
    op.drop_index(op.f("ix_blueprints_deployment_id"), "blueprints")
    op.drop_table("blueprints")
    op.drop_table("members")
    op.drop_table("invitations")
