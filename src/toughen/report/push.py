"""A run's model and its card, as a repository on the hub."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from toughen.errors import InputError, first_line
from toughen.machine.hub import hub_answers
from toughen.report.card import write_card
from toughen.runs.finished import FinishedRun
from toughen.runs.folder import MODEL

if TYPE_CHECKING:
    from huggingface_hub.errors import HfHubHTTPError


@dataclass(frozen=True)
class Pushed:
    """What was put on the hub.

    Attributes:
        repository: its full id.
        url: its page.
        files: names of the files, the card among them.
    """

    repository: str
    url: str
    files: tuple[str, ...]


def push(run: str | Path, repository: str, *, private: bool = False, message: str | None = None) -> Pushed:
    """Upload a run's model with its tokenizer and card; the repository is made where there is none.

    The hub is that of ``HF_ENDPOINT``, the account that of ``hf auth login`` or ``HF_TOKEN``. A card that was edited
    goes up as it is.

    Args:
        run: folder of a finished run.
        repository: ``owner/name``, or a name under one's own account.
        private: whether a repository that is made is private.
        message: of the commit.

    Raises:
        InputError: if the run has no model of its own, or the hub is not to be reached or refuses.
    """
    from huggingface_hub import HfApi  # loads slowly, and of all reports only this one needs it
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    folder = FinishedRun.open(run).path
    model = folder / MODEL
    if not (model / "config.json").exists():
        raise InputError(
            f"{folder} has no model of its own: it is a run in folds or a combination of outputs; push one of its "
            "members, or make one model of them with toughen combine --how distil."
        )
    write_card(folder, replace=False)
    files = tuple(sorted(path.name for path in model.iterdir() if path.is_file() and not path.name.startswith(".")))
    api = HfApi()
    unreachable = f"the hub at {api.endpoint} cannot be reached; check the network, HF_ENDPOINT and HF_HUB_OFFLINE."
    if not hub_answers("model", repository):
        raise InputError(unreachable)
    try:
        made = api.create_repo(repository, private=private, exist_ok=True)
        api.upload_folder(
            repo_id=made.repo_id,
            folder_path=model,
            commit_message=message or f"Upload {folder.resolve().name}",
            allow_patterns=list(files),
        )
    except HFValidationError as error:
        raise InputError(
            f"{repository!r} is no name of a repository ({first_line(error)}); give OWNER/NAME."
        ) from error
    except HfHubHTTPError as error:
        raise InputError(_refusal(repository, api.endpoint, error)) from error
    except Exception as error:  # every HTTP library has its own name for a connection that broke
        if hub_answers("model", repository):
            raise
        raise InputError(unreachable) from error
    return Pushed(made.repo_id, str(made), files)


def _refusal(repository: str, endpoint: str, error: HfHubHTTPError) -> str:
    status = error.response.status_code
    if status in (401, 403):
        why = "it does not know you, or you may not write there: log in with hf auth login, or set HF_TOKEN"
    elif status == 404:
        why = "there is no such owner; check the name"
    else:
        why = f"it answered {status} ({first_line(error)})"
    return f"the hub at {endpoint} did not take {repository}: {why}."
