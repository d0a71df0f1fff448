import json
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from becalm_engine.errors import (
    DamagedError,
    ObjectMissingError,
    RepositoryExistsError,
    RepositoryMissingError,
    StorageDeniedError,
    StorageError,
    StorageUnavailableError,
    WrongPasswordError,
)
from becalm_engine.format import snapshot
from becalm_engine.format.compression import Compression
from becalm_engine.format.config import is_irreducible
from becalm_engine.ids import Buffer, stored_id
from becalm_engine.repository import keys
from becalm_engine.repository.lock import locked
from becalm_engine.repository.repository import initialise, open_repository
from becalm_engine.storage.base import CONFIG_NAME, FileKind
from becalm_engine.storage.local import LocalStorage
from tests.engine.repository.repositories import CHEAP, PASSWORD, made
from tests.engine.storage.memory import MemoryStorage

DOCUMENTS = (FileKind.INDEX, FileKind.SNAPSHOT, FileKind.LOCK)


class TestInitialise:
    def test_a_new_repository_opens_with_its_password(self) -> None:
        storage = MemoryStorage()

        settings = initialise(storage, PASSWORD, cost=CHEAP)

        assert open_repository(storage, PASSWORD).config == settings
        assert settings.version == 2
        assert is_irreducible(settings.chunker_polynomial)

    def test_two_repositories_share_neither_id_nor_key(self) -> None:
        first, second = made(), made()

        assert first.config.id != second.config.id
        assert first.key != second.key

    @pytest.mark.parametrize("password", [PASSWORD, "another"])
    def test_a_repository_is_never_made_over_another(self, password: str) -> None:
        repository = made()
        assert isinstance(repository.storage, MemoryStorage)
        before = dict(repository.storage.files)

        with pytest.raises(RepositoryExistsError):
            initialise(repository.storage, password, cost=CHEAP)

        assert repository.storage.files == before

    def test_an_init_that_was_broken_off_is_completed_by_the_same_password(self) -> None:
        repository = made()
        repository.storage.delete(FileKind.CONFIG, CONFIG_NAME)

        settings = initialise(repository.storage, PASSWORD, cost=CHEAP)

        opened = open_repository(repository.storage, PASSWORD)
        assert (opened.key, opened.config) == (repository.key, settings)

    @pytest.mark.parametrize("broken", [True, False])
    def test_with_another_password_it_is_refused_and_the_error_says_what_to_do(self, broken: bool) -> None:
        storage = MemoryStorage()
        made(storage)
        storage.delete(FileKind.CONFIG, CONFIG_NAME)
        if broken:
            [key] = storage.files
            storage.files[key] = storage.files[key][:100]
        before = dict(storage.files)

        with pytest.raises(RepositoryExistsError, match=r"keys, but no config.*password.*delete keys/"):
            initialise(storage, PASSWORD if broken else "another", cost=CHEAP)

        assert storage.files == before

    @pytest.mark.parametrize("kind", [FileKind.PACK, FileKind.INDEX, FileKind.SNAPSHOT])
    @pytest.mark.parametrize("keys", [True, False])
    def test_data_without_a_config_are_not_covered_up(self, kind: FileKind, keys: bool) -> None:
        storage = MemoryStorage()
        if keys:
            made(storage)
            storage.delete(FileKind.CONFIG, CONFIG_NAME)
        storage.save(kind, "ab" * 32, b"data")
        before = dict(storage.files)

        with pytest.raises(RepositoryExistsError, match=r"config is lost\. Nothing was changed"):
            initialise(storage, PASSWORD, cost=CHEAP)

        assert storage.files == before

    def test_two_that_complete_it_at_once_leave_a_key_that_opens_it(self) -> None:
        class Racing(MemoryStorage):
            """Another init with the same password goes on with ours, and is done before us."""

            def save(self, kind: FileKind, name: str, data: Buffer, *, only_if_absent: bool = False) -> None:
                if kind is FileKind.CONFIG and not others:
                    others.append(True)
                    initialise(self, PASSWORD, cost=CHEAP)
                super().save(kind, name, data, only_if_absent=only_if_absent)

        others: list[bool] = []
        storage = Racing()

        with pytest.raises(RepositoryExistsError):
            initialise(storage, PASSWORD, cost=CHEAP)

        assert open_repository(storage, PASSWORD).config.version == 2

    def test_who_loses_the_race_leaves_the_winner_s_repository_as_it_is(self) -> None:
        winner = MemoryStorage()

        class Racing(MemoryStorage):
            """Somebody else's config appears between the look and the write."""

            def save(self, kind: FileKind, name: str, data: Buffer, *, only_if_absent: bool = False) -> None:
                if kind is FileKind.CONFIG:
                    initialise(winner, "theirs", cost=CHEAP)
                    self.files.update(winner.files)
                super().save(kind, name, data, only_if_absent=only_if_absent)

        storage = Racing()

        with pytest.raises(RepositoryExistsError):
            initialise(storage, PASSWORD, cost=CHEAP)

        assert storage.files == winner.files

    @pytest.mark.parametrize(
        ("error", "stores", "keys"),
        [
            (StorageDeniedError("no"), False, 0),
            (StorageDeniedError("no"), True, 1),
            (StorageUnavailableError("busy"), False, 1),
            (StorageUnavailableError("busy"), True, 1),
        ],
    )
    def test_a_config_that_may_be_there_keeps_its_key(
        self, error: StorageError, stores: bool, keys: int
    ) -> None:
        class Failing(MemoryStorage):
            """Fails to store the config, or says so."""

            def save(self, kind: FileKind, name: str, data: Buffer, *, only_if_absent: bool = False) -> None:
                if stores or kind is not FileKind.CONFIG:
                    super().save(kind, name, data, only_if_absent=only_if_absent)
                if kind is FileKind.CONFIG:
                    raise error

        storage = Failing()

        with pytest.raises(StorageError) as raised:
            initialise(storage, PASSWORD, cost=CHEAP)

        assert raised.value is error
        assert len(list(storage.list(FileKind.KEY))) == keys

    def test_a_loser_that_may_not_delete_says_that_it_has_lost(self) -> None:
        class AppendOnly(MemoryStorage):
            """Another's config appears, and nothing is deleted."""

            def save(self, kind: FileKind, name: str, data: Buffer, *, only_if_absent: bool = False) -> None:
                if kind is FileKind.CONFIG:
                    self.files[FileKind.CONFIG, CONFIG_NAME] = b"theirs"
                super().save(kind, name, data, only_if_absent=only_if_absent)

            def delete(self, kind: FileKind, name: str) -> None:
                raise StorageDeniedError("append only")

        with pytest.raises(RepositoryExistsError):
            initialise(AppendOnly(), PASSWORD, cost=CHEAP)

    def test_of_several_at_once_one_makes_it(self, tmp_path: Path) -> None:
        together = threading.Barrier(4)

        def attempt(_: int) -> bool:
            together.wait()
            try:
                initialise(LocalStorage(tmp_path), PASSWORD, cost=CHEAP)
            except RepositoryExistsError:
                return False
            return True

        with ThreadPoolExecutor(4) as pool:
            made_it = list(pool.map(attempt, range(4)))

        assert made_it.count(True) == 1
        assert open_repository(LocalStorage(tmp_path), PASSWORD).config.version == 2


class TestOpen:
    def test_a_key_that_a_loser_left_keeps_nobody_out(self) -> None:
        """Several losers, so that in the order of names one of theirs comes first."""
        repository = made()
        assert isinstance(repository.storage, MemoryStorage)
        for _ in range(6):
            other = made().storage
            assert isinstance(other, MemoryStorage)
            repository.storage.files.update(
                {place: data for place, data in other.files.items() if place[0] is FileKind.KEY}
            )

        opened = open_repository(repository.storage, PASSWORD)

        assert opened.config == repository.config
        assert (opened.key, opened.key_name) == (repository.key, repository.key_name)
        assert opened.key_name

    def test_a_wrong_password_is_told_as_such(self) -> None:
        with pytest.raises(WrongPasswordError):
            open_repository(made().storage, "wrong")

    def test_an_empty_place_holds_no_repository(self) -> None:
        with pytest.raises(RepositoryMissingError):
            open_repository(MemoryStorage(), PASSWORD)

    def test_a_folder_that_is_not_there_holds_no_repository(self, tmp_path: Path) -> None:
        with pytest.raises(RepositoryMissingError):
            open_repository(LocalStorage(tmp_path / "none"), PASSWORD)

    def test_a_config_without_keys_is_no_repository(self) -> None:
        repository = made()
        for stored in repository.storage.list(FileKind.KEY):
            repository.storage.delete(FileKind.KEY, stored.name)

        with pytest.raises(RepositoryMissingError, match="no keys"):
            open_repository(repository.storage, PASSWORD)

    def test_any_of_several_passwords_opens(self) -> None:
        repository = made()
        keys.make_key(repository.storage, repository.key, "second", CHEAP)

        assert open_repository(repository.storage, "second").key == repository.key
        assert open_repository(repository.storage, PASSWORD).key == repository.key

    def test_a_hinted_key_is_tried_although_there_are_more_than_twenty(self) -> None:
        repository = made()
        names = [
            keys.make_key(repository.storage, repository.key, f"p{number}", CHEAP) for number in range(24)
        ]
        last = max(names)
        password = f"p{names.index(last)}"

        with pytest.raises(WrongPasswordError):
            open_repository(repository.storage, password)
        opened = open_repository(repository.storage, password, key_hint=last[:8])

        assert opened.key == repository.key

    def test_a_broken_key_does_not_keep_a_good_one_from_opening(self) -> None:
        repository = made()
        repository.storage.save(FileKind.KEY, "0" * 64, b"{}")

        assert open_repository(repository.storage, PASSWORD).key == repository.key

    def test_if_no_key_opens_a_broken_one_is_told(self) -> None:
        repository = made()
        repository.storage.save(FileKind.KEY, "0" * 64, b"{}")

        with pytest.raises(DamagedError):
            open_repository(repository.storage, "wrong")

    def test_a_config_of_another_repository_is_damage(self) -> None:
        repository, other = made(), made()
        config = other.storage.load(FileKind.CONFIG, CONFIG_NAME)
        repository.storage.save(FileKind.CONFIG, CONFIG_NAME, config)

        with pytest.raises(DamagedError, match="config"):
            open_repository(repository.storage, PASSWORD)

    def test_version_1_knows_no_compression(self) -> None:
        repository = made(version=1, compression=Compression.MAX)

        assert repository.compression is Compression.OFF


class TestDocuments:
    @pytest.mark.parametrize("kind", DOCUMENTS)
    @pytest.mark.parametrize("version", [1, 2])
    def test_a_document_comes_back_as_it_was(self, kind: FileKind, version: int) -> None:
        repository = made(version=version)

        name = repository.save_document(kind, b'{"a":1}')

        assert repository.load_document(kind, name) == b'{"a":1}'

    def test_its_name_is_the_hash_of_what_is_stored_and_it_is_not_readable(self) -> None:
        repository = made()

        name = repository.save_document(FileKind.SNAPSHOT, b'{"hostname":"rose"}')

        stored = repository.storage.load(FileKind.SNAPSHOT, name)
        assert stored_id(stored).hex() == name
        assert b"rose" not in stored

    def test_a_document_under_another_s_name_is_damage(self) -> None:
        repository = made()
        first = repository.save_document(FileKind.SNAPSHOT, b'{"a":1}')
        second = repository.save_document(FileKind.SNAPSHOT, b'{"a":2}')
        repository.storage.save(FileKind.SNAPSHOT, first, repository.storage.load(FileKind.SNAPSHOT, second))

        with pytest.raises(DamagedError, match="other content"):
            repository.load_document(FileKind.SNAPSHOT, first)

    def test_a_document_of_another_repository_is_damage(self) -> None:
        repository, other = made(), made()
        name = other.save_document(FileKind.SNAPSHOT, b'{"a":1}')
        repository.storage.save(FileKind.SNAPSHOT, name, other.storage.load(FileKind.SNAPSHOT, name))

        with pytest.raises(DamagedError, match=name):
            repository.load_document(FileKind.SNAPSHOT, name)

    def test_a_document_moved_to_another_kind_does_not_become_one_of_it(self) -> None:
        repository = made()
        name = repository.save_document(FileKind.INDEX, b'{"packs":[]}')
        repository.storage.save(FileKind.SNAPSHOT, name, repository.storage.load(FileKind.INDEX, name))

        with pytest.raises(DamagedError):
            list(repository.each_document(FileKind.SNAPSHOT, snapshot.decode))

    def test_one_that_is_not_there_is_missing_and_not_damaged(self) -> None:
        with pytest.raises(ObjectMissingError):
            made().load_document(FileKind.SNAPSHOT, "0" * 64)

    def test_all_documents_of_a_kind_are_loaded_by_name(self) -> None:
        repository = made()
        names = [repository.save_document(FileKind.LOCK, b"[%d]" % number) for number in range(20)]

        loaded = dict(repository.each_document(FileKind.LOCK, json.loads))

        assert loaded == {name: [number] for number, name in enumerate(names)}

    def test_one_broken_document_is_not_left_out_in_silence(self) -> None:
        repository = made()
        repository.save_document(FileKind.INDEX, b'{"packs":[]}')
        repository.storage.save(FileKind.INDEX, "0" * 64, b"garbage")

        with pytest.raises(DamagedError):
            repository.load_index()


def test_a_dry_run_is_forked_in_the_same_quiet() -> None:
    """Its lock has a thread that speaks to the store, as any other's."""
    repository = made()

    with locked(repository, exclusive=False, sleep=lambda _: None):
        assert repository.dry().quiet is repository.quiet
