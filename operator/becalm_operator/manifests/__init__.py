"""The objects that becalm makes, as typed models. Pure: the same input gives the same object."""
