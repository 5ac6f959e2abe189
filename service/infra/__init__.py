"""Tools that touch the world and know no business."""
