"""What every storage promises: one suite, run by each of them."""

import hashlib
import time
from concurrent.futures import ThreadPoolExecutor
from typing import ClassVar

import pytest

from becalm_engine.errors import ObjectMissingError, RepositoryExistsError, StorageError
from becalm_engine.storage.base import CONFIG_NAME, FileKind, Storage, StoredFile

NAMED: list[FileKind] = [kind for kind in FileKind if kind is not FileKind.CONFIG]
NAME, OTHER = "ab" * 32, "cd" * 32


class StorageContract:
    """A subclass has a fixture `storage` that gives an empty place after `create`, and may have one `again`."""

    tells_times: ClassVar[bool] = True

    @pytest.mark.parametrize("kind", NAMED)
    def test_what_is_saved_can_be_loaded(self, storage: Storage, kind: FileKind) -> None:
        storage.save(kind, NAME, b"content")

        assert storage.load(kind, NAME) == b"content"

    def test_the_config_has_no_name(self, storage: Storage) -> None:
        storage.save(FileKind.CONFIG, CONFIG_NAME, b"config")

        assert storage.load(FileKind.CONFIG, CONFIG_NAME) == b"config"

    @pytest.mark.parametrize("data", [b"", bytes(range(256)) * 20_000], ids=["empty", "5 MB"])
    def test_any_content_comes_back_whole(self, storage: Storage, data: bytes) -> None:
        name = hashlib.sha256(data).hexdigest()

        storage.save(FileKind.PACK, name, data)

        assert storage.load(FileKind.PACK, name) == data

    def test_what_is_too_long_to_be_what_it_should_be_is_not_loaded(self, storage: Storage) -> None:
        data = bytes(1024 * 1024 + 1)
        name = hashlib.sha256(data).hexdigest()
        storage.save(FileKind.LOCK, name, data)

        with pytest.raises(StorageError, match="1048577 bytes"):
            storage.load(FileKind.LOCK, name)

    def test_saving_the_same_again_is_no_error(self, storage: Storage) -> None:
        storage.save(FileKind.PACK, NAME, b"content")
        storage.save(FileKind.PACK, NAME, b"content")

        assert list(storage.list(FileKind.PACK)) == [StoredFile(NAME, 7)]

    @pytest.mark.parametrize("kind", FileKind)
    def test_loading_what_is_not_there_says_so(self, storage: Storage, kind: FileKind) -> None:
        name = "" if kind is FileKind.CONFIG else NAME

        with pytest.raises(ObjectMissingError):
            storage.load(kind, name)

    def test_loading_a_part_of_what_is_not_there_says_so(self, storage: Storage) -> None:
        with pytest.raises(ObjectMissingError):
            storage.load_range(FileKind.PACK, NAME, offset=0, length=1)

    @pytest.mark.parametrize(
        ("offset", "length", "part"), [(0, 1, b"0"), (0, 10, b"0123456789"), (3, 4, b"3456"), (9, 1, b"9")]
    )
    def test_a_part_is_exactly_what_was_asked_for(
        self, storage: Storage, offset: int, length: int, part: bytes
    ) -> None:
        storage.save(FileKind.PACK, NAME, b"0123456789")

        assert storage.load_range(FileKind.PACK, NAME, offset=offset, length=length) == part

    @pytest.mark.parametrize(("offset", "length"), [(0, 11), (9, 2), (10, 1), (100, 5)])
    def test_a_part_beyond_the_end_is_an_error_that_no_retry_mends(
        self, storage: Storage, offset: int, length: int
    ) -> None:
        storage.save(FileKind.PACK, NAME, b"0123456789")

        with pytest.raises(StorageError) as raised:
            storage.load_range(FileKind.PACK, NAME, offset=offset, length=length)

        assert not raised.value.retryable

    @pytest.mark.parametrize("lengths", [[1], [10], [3, 4, 3], [2, 5], [1] * 10, []])
    def test_pieces_are_exactly_what_was_asked_for(self, storage: Storage, lengths: list[int]) -> None:
        storage.save(FileKind.PACK, NAME, b"0123456789")

        pieces = list(storage.load_pieces(FileKind.PACK, NAME, lengths))

        assert [len(piece) for piece in pieces] == lengths
        assert b"".join(pieces) == b"0123456789"[: sum(lengths)]

    def test_long_pieces_are_whole(self, storage: Storage) -> None:
        data = bytes(range(256)) * 20_000
        name = hashlib.sha256(data).hexdigest()
        storage.save(FileKind.PACK, name, data)

        pieces = list(storage.load_pieces(FileKind.PACK, name, [3_000_000, 2_000_000, 120_000]))

        assert b"".join(pieces) == data

    def test_pieces_beyond_the_end_are_an_error_that_no_retry_mends(self, storage: Storage) -> None:
        storage.save(FileKind.PACK, NAME, b"0123456789")
        pieces = storage.load_pieces(FileKind.PACK, NAME, [7, 4])

        assert next(pieces) == b"0123456"
        with pytest.raises(StorageError) as raised:
            next(pieces)

        assert not raised.value.retryable

    def test_pieces_of_what_is_not_there_say_so(self, storage: Storage) -> None:
        with pytest.raises(ObjectMissingError):
            list(storage.load_pieces(FileKind.PACK, NAME, [1]))

    def test_whoever_has_enough_of_pieces_disturbs_nobody(self, storage: Storage) -> None:
        storage.save(FileKind.PACK, NAME, b"0123456789" * 100_000)
        for _ in range(3):
            pieces = storage.load_pieces(FileKind.PACK, NAME, [10, 10])
            assert next(pieces) == b"0123456789"
            pieces.close()

        assert storage.load_range(FileKind.PACK, NAME, offset=11, length=3) == b"123"

    @pytest.mark.parametrize("kind", NAMED)
    def test_a_listing_has_the_files_of_one_kind_and_their_sizes(
        self, storage: Storage, kind: FileKind
    ) -> None:
        for number, each in enumerate(NAMED):
            storage.save(each, NAME, bytes(number))
        storage.save(kind, OTHER, bytes(99))

        listed = set(storage.list(kind))

        assert listed == {StoredFile(NAME, NAMED.index(kind)), StoredFile(OTHER, 99)}

    def test_a_listing_tells_when_a_file_was_written_if_the_place_tells_times(self, storage: Storage) -> None:
        storage.save(FileKind.LOCK, NAME, b"content")

        [listed] = storage.list(FileKind.LOCK)

        assert (listed.written is not None) is self.tells_times
        assert listed.written is None or abs(listed.written - time.time()) < 60

    @pytest.mark.parametrize("kind", NAMED)
    def test_an_empty_place_has_empty_listings(self, storage: Storage, kind: FileKind) -> None:
        assert list(storage.list(kind)) == []

    @pytest.mark.parametrize("stray", ["README", NAME[:-1], NAME.upper(), NAME + "-tmp-1234", "ab"])
    def test_what_is_not_named_by_64_hex_digits_is_left_out_of_listings(
        self, storage: Storage, stray: str
    ) -> None:
        storage.save(FileKind.SNAPSHOT, NAME, b"content")
        storage.save(FileKind.SNAPSHOT, stray, b"stray")

        assert list(storage.list(FileKind.SNAPSHOT)) == [StoredFile(NAME, 7)]

    def test_what_is_deleted_is_gone(self, storage: Storage) -> None:
        storage.save(FileKind.LOCK, NAME, b"")
        storage.save(FileKind.LOCK, OTHER, b"")

        storage.delete(FileKind.LOCK, NAME)

        assert [stored.name for stored in storage.list(FileKind.LOCK)] == [OTHER]
        with pytest.raises(ObjectMissingError):
            storage.load(FileKind.LOCK, NAME)

    def test_deleting_what_is_not_there_is_no_error(self, storage: Storage) -> None:
        storage.delete(FileKind.LOCK, NAME)

        assert list(storage.list(FileKind.LOCK)) == []

    def test_files_may_be_deleted_while_they_are_listed(self, storage: Storage) -> None:
        for number in range(20):
            storage.save(FileKind.LOCK, f"{number:064x}", b"")

        for stored in storage.list(FileKind.LOCK):
            storage.delete(FileKind.LOCK, stored.name)

        assert list(storage.list(FileKind.LOCK)) == []

    def test_making_the_place_again_keeps_what_is_there(self, storage: Storage) -> None:
        storage.save(FileKind.KEY, NAME, b"key")

        storage.create()

        assert storage.load(FileKind.KEY, NAME) == b"key"

    def test_saving_only_what_is_absent_never_overwrites(self, storage: Storage) -> None:
        storage.save(FileKind.CONFIG, CONFIG_NAME, b"first", only_if_absent=True)

        with pytest.raises(RepositoryExistsError):
            storage.save(FileKind.CONFIG, CONFIG_NAME, b"second", only_if_absent=True)

        assert storage.load(FileKind.CONFIG, CONFIG_NAME) == b"first"

    def test_of_several_who_save_what_is_absent_one_wins(self, storage: Storage) -> None:
        def attempt(number: int) -> bool:
            try:
                storage.save(FileKind.CONFIG, CONFIG_NAME, b"%d" % number, only_if_absent=True)
            except RepositoryExistsError:
                return False
            return True

        with ThreadPoolExecutor(8) as pool:
            won = [number for number, success in enumerate(pool.map(attempt, range(8))) if success]

        assert len(won) == 1
        assert storage.load(FileKind.CONFIG, CONFIG_NAME) == b"%d" % won[0]

    def test_several_threads_do_not_disturb_each_other(self, storage: Storage) -> None:
        def work(number: int) -> bytes:
            name = f"{number:064x}"
            storage.save(FileKind.PACK, name, b"%d" % number * 1000)
            return storage.load(FileKind.PACK, name)

        with ThreadPoolExecutor(8) as pool:
            loaded = list(pool.map(work, range(40)))

        assert loaded == [b"%d" % number * 1000 for number in range(40)]
        assert len(list(storage.list(FileKind.PACK))) == 40

    def test_it_says_where_it_is_and_how_many_calls_are_useful(self, storage: Storage) -> None:
        assert storage.location
        assert storage.connections >= 1

    @pytest.fixture
    def again(self, storage: Storage) -> Storage:
        """The same place, opened once more, where that can be."""
        return storage

    def test_what_was_saved_is_there_after_it_was_closed(self, storage: Storage, again: Storage) -> None:
        storage.save(FileKind.KEY, NAME, b"key")

        storage.close()

        assert again.load(FileKind.KEY, NAME) == b"key"
