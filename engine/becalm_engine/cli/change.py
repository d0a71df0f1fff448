"""Commands that change snapshots and keys: tag, copy, rewrite, key."""

import sys
from argparse import Namespace
from collections.abc import Callable, Sequence

from becalm_engine.cli import nodes, passwords
from becalm_engine.cli.broken import PassedOver, passed_over
from becalm_engine.cli.options import exclusions
from becalm_engine.cli.output import Output, table
from becalm_engine.cli.session import Session, read_bytes, refuse_two
from becalm_engine.cli.times import local_text, parse_zoned
from becalm_engine.commands import keys as key_command
from becalm_engine.commands import rewrite as rewrite_command
from becalm_engine.commands import tag as tag_command
from becalm_engine.commands.chosen import chosen
from becalm_engine.commands.copy import Begun, Copied, Copier, Failed
from becalm_engine.commands.progress import Progress
from becalm_engine.commands.rewrite import RewriteOptions
from becalm_engine.commands.tag import TagChange
from becalm_engine.contract import ExitCode, Problem, Report
from becalm_engine.errors import EngineError, UsageError
from becalm_engine.format.shown import shown_text
from becalm_engine.repository.repository import Repository
from becalm_engine.repository.snapshots import StoredSnapshot, tag_list

_SHORT_CHARS = 8


# --- key


def key(session: Session, output: Output, _: Progress) -> Report:
    """Manage the passwords of a repository."""
    arguments = session.arguments
    if (arguments.action == "remove") != bool(arguments.id):
        raise UsageError("key remove takes the id of a key, and the others take none")
    actions = {"list": _list_keys, "add": _add_key, "remove": _remove_key, "passwd": _change_password}
    actions[arguments.action](session, output)
    return Report()


def _list_keys(session: Session, output: Output) -> None:
    with session.locked_repository(only_reads=True) as repository:
        found = key_command.list_keys(repository, lambda text: output.warn(f"error: {text}"))
    if output.json:
        documents = [
            {
                "current": one.is_current,
                "id": one.name,
                "userName": one.username,
                "hostName": one.hostname,
                "created": local_text(one.created_nanos),
            }
            for one in found
        ]
        nodes.put_json(output, documents)
    else:
        rows = [
            [
                [("*" if one.is_current else " ") + one.name[:_SHORT_CHARS]],
                [shown_text(one.username)],
                [shown_text(one.hostname)],
                [local_text(one.created_nanos)],
            ]
            for one in found
        ]
        for line in table((" ID", "User", "Host", "Created"), rows):
            nodes.put(output, line)
    nodes.end(output)


def _add_key(session: Session, output: Output) -> None:
    arguments = session.arguments
    password = _new_password(arguments.new_password_file)
    with session.locked_repository() as repository:
        name = key_command.add_key(repository, password, user=arguments.user, host=arguments.host)
    output.say(f"saved new key with ID {name}")
    output.message({"message_type": "key_added", "id": name})


def _change_password(session: Session, output: Output) -> None:
    arguments = session.arguments
    password = _new_password(arguments.new_password_file)
    with session.locked_repository(exclusive=True) as repository:
        name = key_command.change_password(repository, password, user=arguments.user, host=arguments.host)
    output.say(f"saved new key with ID {name}; the old one was removed")
    output.message({"message_type": "key_changed", "id": name})


def _remove_key(session: Session, output: Output) -> None:
    with session.locked_repository(exclusive=True) as repository:
        name = key_command.remove_key(repository, session.arguments.id)
    output.say(f"removed key {name}")
    output.message({"message_type": "key_removed", "id": name})


def _new_password(path: str) -> str:
    if path:
        password, _ = passwords.in_file(read_bytes(path, "password"))
        if not password:
            raise UsageError(f"the new password in {path} is empty")
        return password
    if not sys.stdin.isatty():
        raise UsageError("no new password: use --new-password-file")
    password = passwords.asked("enter new password: ", again=True)
    if not password:
        raise UsageError("the new password is empty")
    return password


# --- tag


def tag(session: Session, output: Output, progress: Progress) -> Report:
    """Change the tags of snapshots."""
    arguments = session.arguments
    change = TagChange(
        new=_tags(arguments.set) if arguments.set else None,
        add=_tags(arguments.add),
        remove=_tags(arguments.remove),
    )
    change.refuse_senseless()
    output.say("create exclusive lock for repository")
    changed, broken = 0, PassedOver(output, "tag")
    with session.locked_repository(exclusive=True) as repository:
        every = chosen(repository, arguments.id, session.filter(), broken)
        for old, new in tag_command.tag(repository, every, change, progress):
            changed += 1
            if output.verbose:
                output.say(f"old snapshot ID: {old.name} -> new snapshot ID: {new.name}")
            names = {"old_snapshot_id": old.name, "new_snapshot_id": new.name}
            _put_message(output, {"message_type": "changed", **names})
    output.say(f"modified {changed} snapshots" if changed else "no snapshots were modified")
    _put_message(output, {"message_type": "summary", "changed_snapshots": changed})
    nodes.end(output)
    return broken.report()


def _tags(flags: Sequence[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(tag for flag in flags for tag in tag_list(flag) if tag))


def _put_message(output: Output, document: object) -> None:
    if output.json:
        nodes.put_json(output, document)


# --- copy


def copy(session: Session, output: Output, progress: Progress) -> Report:
    """Copy snapshots from another repository into this one."""
    arguments = session.arguments
    with (
        _source_session(session, progress, output.warn).locked_repository(only_reads=True) as source,
        session.locked_repository() as target,
    ):
        broken = PassedOver(output, "copy")
        every = chosen(source, arguments.id, session.filter(), broken)
        source.load_index()
        target.load_index()
        copier = Copier(
            source, target, progress, pack_bytes=session.pack_bytes(), broken=passed_over(output, "copy")
        )
        failed = broken.errors
        copied, present = _copy(output, copier, every, failed)
    _put_message(output, {"message_type": "summary", "copied": copied, "already_copied": present})
    nodes.end(output)
    return _incomplete(output, failed) if failed else Report()


def _incomplete(output: Output, failed: Sequence[EngineError]) -> Report:
    """Return the report of a copy that could not copy all."""
    message = f"failed to copy {len(failed)} snapshots: {failed[0]}"
    output.warn(f"Warning: {message}")
    problem = Problem(type(failed[0]).__name__.removesuffix("Error"), message)
    return Report(exit_code=ExitCode.ERROR, error=problem)


def _copy(
    output: Output, copier: Copier, every: Sequence[StoredSnapshot], failed: list[EngineError]
) -> tuple[int, int]:
    """Copy snapshots, and tell of each; return how many were copied and were there. `failed` takes what failed."""
    copied = present = 0
    for event in copier.copy(every):
        if isinstance(event, Begun):
            output.say(f"\n{nodes.snapshot_line(event.source)}\n  copy started, this may take a while...")
        elif isinstance(event, Failed):
            failed.append(event.error)
            shown = f"unable to copy snapshot {event.source.short}: {event.error}"
            output.error("copy", event.source.name, str(event.error), shown=shown)
        elif event.already:
            present += 1
            if output.verbose:
                output.say(
                    f"\n{nodes.snapshot_line(event.source)}\nskipping source snapshot {event.source.short}, "
                    f"was already copied to snapshot {event.target.short}"
                )
        else:
            copied += 1
            _say_copied(output, event)
    return copied, present


def _say_copied(output: Output, event: Copied) -> None:
    output.say(f"snapshot {event.target.short} saved, copied from source snapshot {event.source.short}")
    names = {"source_snapshot_id": event.source.name, "snapshot_id": event.target.name}
    _put_message(output, {"message_type": "copied", **names})


def _source_session(session: Session, progress: Progress, tell: Callable[[str], None]) -> Session:
    """Return a session on the repository that is copied from: its own location, password and key."""
    given = vars(session.arguments)
    refuse_two(session.arguments, "from_")
    if not given["from_repo"] and not given["from_repository_file"]:
        raise UsageError("no source repository: use --from-repo or --from-repository-file")
    names = ("repo", "repository_file", "password_file", "password_command", "key_hint")
    own = {name: given[f"from_{name}"] for name in names}
    password = session.environment.get("RESTIC_FROM_PASSWORD", "")
    environment = {**session.environment, "RESTIC_PASSWORD": password}
    return Session(
        Namespace(**{**given, **own}), environment, stop=progress.stop, tell=tell, name="source repository"
    )


# --- rewrite


def rewrite(session: Session, output: Output, progress: Progress) -> Report:
    """Write snapshots anew, without some files or with another host or time."""
    arguments = session.arguments
    options = _rewrite_options(session)
    options.refuse_senseless()
    exclusive = options.forget and not options.dry_run
    if exclusive:
        output.say("create exclusive lock for repository")
    changed, broken = 0, PassedOver(output, "rewrite")
    with session.locked_repository(exclusive=exclusive, only_reads=options.dry_run) as repository:
        every = chosen(repository, arguments.id, session.filter(), broken)
        repository.load_index()
        changed = _rewrite(repository, output, every, options, progress)
    verb = "would modify" if options.dry_run else "modified"
    none = "no snapshots would be modified" if options.dry_run else "no snapshots were modified"
    output.say(f"\n{verb} {changed} snapshots" if changed else f"\n{none}")
    _put_message(output, {"message_type": "summary", "changed_snapshots": changed})
    nodes.end(output)
    return broken.report()


def _rewrite(
    repository: Repository,
    output: Output,
    every: Sequence[StoredSnapshot],
    options: RewriteOptions,
    progress: Progress,
) -> int:
    changed = 0
    for old, new in rewrite_command.rewrite(repository, every, options, progress):
        output.say(f"\n{nodes.snapshot_line(old)}")
        if new is None:
            continue
        changed += 1
        for line in _rewritten_lines(old, new, options):
            output.say(line)
        names = {"old_snapshot_id": old.name, "new_snapshot_id": None if options.dry_run else new.name}
        _put_message(output, {"message_type": "changed", **names})
    return changed


def _rewritten_lines(old: StoredSnapshot, new: StoredSnapshot, options: RewriteOptions) -> list[str]:
    lines = []
    if options.dry_run:
        lines = ["would save new snapshot", *(["would remove old snapshot"] if options.forget else [])]
    verb = "would set" if options.dry_run else "setting"
    if options.time_nanos is not None:
        lines.append(f"{verb} time to {local_text(options.time_nanos)}")
    if options.hostname:
        lines.append(f"{verb} {'hostname' if options.dry_run else 'host'} to {shown_text(options.hostname)}")
    if not options.dry_run:
        lines.append(f"saved new snapshot {new.short}")
        lines += [f"removed old snapshot {old.short}"] if options.forget else []
    return lines


def _rewrite_options(session: Session) -> RewriteOptions:
    arguments = session.arguments
    nanos, zone = parse_zoned(arguments.new_time, "--new-time") if arguments.new_time else (None, None)
    return RewriteOptions(
        excludes=exclusions(session),
        hostname=arguments.new_host,
        time_nanos=nanos,
        zone=zone,
        forget=arguments.forget,
        dry_run=arguments.dry_run,
    )
