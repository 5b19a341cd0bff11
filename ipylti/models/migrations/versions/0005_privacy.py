"""Erasures; a blueprint outlives whoever made it"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "erasures",
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("begun_at", sa.DateTime(), nullable=False),
        sa.Column("done_at", sa.DateTime(), nullable=True),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_erasures")),
    )
    with op.batch_alter_table("blueprints") as batch:
        batch.alter_column("person_id", existing_type=sa.Integer(), nullable=True)


def downgrade() -> None:
    op.execute("DELETE FROM blueprints WHERE person_id IS NULL")
    with op.batch_alter_table("blueprints") as batch:
        batch.alter_column("person_id", existing_type=sa.Integer(), nullable=False)
    op.drop_table("erasures")
