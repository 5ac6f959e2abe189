"""Whether a user may still give orders, as a part of another slice's statement."""

from sqlalchemy import ColumnElement, Uuid, bindparam, exists, true

from service.core.principal import Role
from service.people.tables import app_user


def entitled_part() -> ColumnElement[bool]:
    """Whether `user_id` is active and a manager now."""
    c = app_user.c
    return exists().where(c.id == bindparam("user_id", type_=Uuid), c.active == true(), c.roles.contains([Role.MANAGER.value]))
