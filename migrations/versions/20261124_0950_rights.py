"""A user's roles and whether he is active change only when no claim of a send is half-way.

Dear next author,

a claim looks at the manager's roles and then writes its attempt; between the two a change of those roles could commit, and an
order would go out for somebody who is no manager any more. Halts and mandates pass the gate for that reason; people are a
layer below it and do not know it. So the table itself takes the gate, whoever writes and from wherever. The lock comes before
the row's (a trigger of the statement, not of the row): keep it so, or a claim and a change could wait for each other.
"""

from alembic import op

revision = "rights"
down_revision = "sweep_round"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute(
        """CREATE FUNCTION ilim_rights_pass_the_gate() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            LOCK TABLE halt_gate IN EXCLUSIVE MODE;
            RETURN NULL;
        END $$"""
    )
    op.execute(
        """CREATE TRIGGER rights_pass_the_gate BEFORE UPDATE OF roles, active ON app_user
        FOR EACH STATEMENT EXECUTE FUNCTION ilim_rights_pass_the_gate()"""
    )


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("DROP TRIGGER rights_pass_the_gate ON app_user")
    op.execute("DROP FUNCTION ilim_rights_pass_the_gate()")
