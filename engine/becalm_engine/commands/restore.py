"""`becalm restore`: writes a snapshot's files into a folder.

First the tree is walked (`restore_walk`): directories are made, and for each file it is decided what to write.
Then come the contents (`contents`), links and special files. Metadata is last, directories after all in them.
Nothing is called whole before it is on the disk: there a file may have its length and its time, and zeros for content.
"""

import contextlib
import os
from collections.abc import Callable, Sequence
from itertools import chain

from becalm_engine.commands.contents import Contents
from becalm_engine.commands.file_table import FileTable
from becalm_engine.commands.progress import Progress
from becalm_engine.commands.restore_crew import Walking, planned
from becalm_engine.commands.restore_walk import Folder, Plan
from becalm_engine.commands.restored import (
    Action,
    Ledger,
    Listener,
    Outcome,
    RestoredFile,
    RestoreOptions,
    target_error,
)
from becalm_engine.commands.whole import (
    Batch,
    WholeMembers,
    Written,
    batches_of,
    written_alone,
    written_by_crew,
)
from becalm_engine.errors import EngineError, StoppedError, TargetError, TargetFullError
from becalm_engine.format.tree import Node
from becalm_engine.ids import BlobID
from becalm_engine.repository.repository import Repository
from becalm_engine.volume import target
from becalm_engine.volume.metadata import set_metadata, set_metadata_at
from becalm_engine.volume.syncing import sync_target
from becalm_engine.volume.target import Target

_MANY_FILES = 1000


class Restorer:
    """Restores one tree into an open folder. `report` is told each file that could not be restored."""

    def __init__(
        self,
        repository: Repository,
        options: RestoreOptions,
        *,
        progress: Progress,
        report: Callable[[str, str], None],
        listen: Listener | None = None,
    ) -> None:
        self._repository = repository
        self._options = options
        self._progress = progress
        self._ledger = Ledger(progress, report, listen)
        self._failed = bytearray()
        """For each file that is written in one go, by its number, whether it failed or was left out."""

    @property
    def outcome(self) -> Outcome:
        """What was done so far."""
        return self._ledger.outcome

    def restore(self, tree: BlobID, root: int, top: Node | None = None) -> None:
        """Restore the content of `tree` into the open directory `root`, which gets the metadata of `top`.

        Raises:
            StoppedError: A signal came; the message says that the target is not complete.
            TargetError: What was written could not reach the disk.
        """
        self._target = Target(root)
        with contextlib.closing(self._target):
            try:
                self._restore(tree, top)
            except StoppedError as error:
                done, total = self._progress.files_done, self._progress.files_total
                known = f"{done} of {total} files are restored" if total else "nothing is restored yet"
                raise StoppedError(
                    f"interrupted; the target is not complete: {known}. The same command completes it"
                ) from error

    def _restore(self, tree: BlobID, top: Node | None) -> None:
        walking = Walking(self._repository, self._target, self._options, tree)
        plan = planned(walking, top, self._ledger, self._progress)
        contents = Contents(
            self._repository,
            self._target,
            self._progress,
            self._ledger,
            sparse=self._options.sparse,
            marked=self._options.overwrite.keeps_unread,
        )
        self._compare(plan, contents)
        if self._options.dry_run:
            self._tell(plan)
            return
        self._write(plan, contents)
        self._finish(plan)
        self._sync(plan)
        if self._options.verify:
            self._verify(plan, contents)

    def _compare(self, plan: Plan, contents: Contents) -> None:
        """Find out what of the files that are there is as in the snapshot, and what there is to do."""
        for file in plan.files:
            self._progress.check()
            if file.present and not file.complete:
                contents.compare(file)
        missing = [file for file in plan.files if not file.complete]
        folders = sum(folder.restored and folder.place != () for folder in plan.folders)
        files = len(missing) + len(plan.whole)
        self._progress.files_total = files + len(plan.special) + len(plan.links) + folders
        self._progress.bytes_total = sum(file.node.size for file in missing) + plan.whole.total_bytes

    def _tell(self, plan: Plan) -> None:
        """Say what would be done."""
        for file in chain(plan.files, plan.whole):
            self._done(file)
        for file in (*plan.special, *(name for name, _ in plan.links)):
            self._ledger.done(Action.RESTORED, file.path)
        for folder in plan.folders:
            if folder.restored:
                self._done_folder(folder)

    def _done_folder(self, folder: Folder) -> None:
        if folder.place:
            self._ledger.done(Action.RESTORED, folder.path)

    def _done(self, file: RestoredFile) -> None:
        action = Action.UPDATED if file.present else Action.RESTORED
        self._ledger.done(Action.UNCHANGED if file.complete else action, file.path, file.node.size)

    def _write(self, plan: Plan, contents: Contents) -> None:
        self._repository.guard()  # whoever began in the same moment may remove what is to be read
        contents.prepare_all(plan.files)
        contents.write()
        if plan.files:
            self._sync(plan)  # while they are known as unfinished, also by who comes after a power cut
        for file in plan.files:
            self._progress.check()
            # What is not whole keeps the mode of an unfinished file, so that no rule of a later run takes it for done.
            if not file.failed and self._ledger.attempt(file.path, self._finish_file, file):
                self._done(file)
        self._write_whole(plan.whole)
        self._tell_left_out()

    def _write_whole(self, files: FileTable) -> None:
        self._failed = bytearray(len(files))
        if self._ledger.full:
            for number, file in enumerate(files):
                self._leave_out(number, file)
            return
        batches = batches_of(files, self._repository.index)
        members = WholeMembers(
            self._repository,
            self._target,
            files,
            batches,
            self._options.metadata,
            marked=self._options.overwrite.keeps_unread,
        )
        if self._options.processes > 1 and len(files) >= _MANY_FILES:
            writing = written_by_crew(self._options.processes, members, self._progress)
        else:
            writing = written_alone(members, self._progress)
        for some, written in writing:
            self._take(files, some, written)

    def _take(self, files: FileTable, batches: Sequence[Batch], written: Written) -> None:
        """Enter into the books what became of some batches."""
        self.outcome.problems.merge(written.problems)
        for number, error in written.failed:
            self._fail(number, files[number], error)
        for number in written.left_out:
            self._leave_out(number, files[number])
        done = [number for batch in batches for number in batch.numbers if not self._failed[number]]
        if self._ledger.is_heard:
            for number in done:
                self._done(files[number])
        else:
            self._ledger.restored(len(done), sum(files.sizes[number] for number in done))

    def _fail(self, number: int, file: RestoredFile, error: EngineError) -> None:
        self._failed[number] = True
        self._ledger.failed_file(file, error)

    def _leave_out(self, number: int, file: RestoredFile) -> None:
        self._failed[number] = True
        self._ledger.leave_out(file)

    def _tell_left_out(self) -> None:
        """Say in one line how many files there was no room for."""
        if self._ledger.left_out:
            reason = f"not restored, nor are {self._ledger.left_out - 1} others: no room is left"
            self._ledger.failed(self._ledger.first_left_out, TargetFullError(reason))

    def _finish(self, plan: Plan) -> None:
        for file in plan.special:
            self._progress.check()
            self._ledger.attempt(file.path, self._create_special, file)
        for name, existing in plan.links:
            self._progress.check()
            self._ledger.attempt(name.path, self._link, name, existing)
        for folder in plan.folders:
            self._progress.check()
            if folder.restored and folder.node is not None:
                self._ledger.attempt(folder.path or "/", self._finish_folder, folder)

    def _sync(self, plan: Plan) -> None:
        try:
            sync_target(self._target, (folder.place for folder in plan.folders))
        except OSError as error:
            kind = type(target_error(error))
            reason = f"what was written may not be on the disk: {error.strerror}"
            # What the disk did not take may still be in memory, where the same command would find it as it should be.
            raise kind(
                f"{reason}. Mend that, mount the target anew, and restore with --overwrite always"
            ) from error

    def _verify(self, plan: Plan, contents: Contents) -> None:
        whole = (file for number, file in enumerate(plan.whole) if not self._failed[number])
        for file in chain(plan.files, whole):
            self._progress.check()
            if not file.failed:
                self._ledger.attempt(file.path, contents.verify, file)

    # --- one file each

    def _finish_file(self, file: RestoredFile) -> None:
        with self._target.folder(file.folder) as folder:
            names = max(1, file.node.links) if file.complete else 1
            handle = target.open_for_metadata(folder, file.node.name, names=names)
            with target.closing(handle):
                set_metadata(handle, file.node, file.path, self.outcome.problems, self._options.metadata)

    def _create_special(self, file: RestoredFile) -> None:
        with self._target.folder(file.folder, make=True) as folder:
            target.create_special(folder, file.node.name, file.node, replaces=file.replaces)
            set_metadata_at(
                folder, file.node.name, file.node, file.path, self.outcome.problems, self._options.metadata
            )
        self._ledger.done(Action.RESTORED, file.path)

    def _link(self, name: RestoredFile, existing: RestoredFile) -> None:
        if existing.failed:
            raise TargetError(f"it is {existing.path} by another name, which could not be restored")
        with (
            self._target.folder(name.folder, make=True) as folder,
            self._target.folder(existing.folder) as source,
        ):
            if name.replaces:
                target.make_way(folder, name.node.name)
            os.link(
                existing.node.name,
                name.node.name,
                src_dir_fd=source,
                dst_dir_fd=folder,
                follow_symlinks=False,
            )
        self._ledger.done(Action.RESTORED, name.path)

    def _finish_folder(self, folder: Folder) -> None:
        assert folder.node is not None
        with self._target.folder(folder.place) as handle:
            set_metadata(
                handle, folder.node, folder.path or "/", self.outcome.problems, self._options.metadata
            )
        self._done_folder(folder)
