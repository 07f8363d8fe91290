"""The kinds of training example. A new view is one module here and one line in `VIEWS`."""

from data_pipelines.views import impression, leave_one_out, masked_item, next_item, transfer
from data_pipelines.views.view import StoredView, View

# Views that are cut from interaction logs, user by user.
VIEWS: dict[str, View] = {
    view.name: view
    for view in (next_item.VIEW, masked_item.VIEW, transfer.VIEW, leave_one_out.VIEW)
}
# All views that a prepared data set can hold.
STORED_VIEWS: dict[str, StoredView] = {**VIEWS, impression.VIEW.name: impression.VIEW}
