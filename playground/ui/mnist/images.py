"""The images of the MNIST tab: other digits of MNIST, a visitor's own images in their place, and back."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import gradio as gr

from playground.mnist.data import ImageDataError, ImageSet
from playground.mnist.datasets import open_hub, read_folder, read_upload
from playground.settings import SETTINGS
from playground.ui.mnist.knobs import mnist_settings
from playground.ui.mnist.show import ASIDE, SessionOf, attempt, packed_scene
from playground.ui.shared.notices import Update, notice


class Images:
    """Lays out where images come from. `session` finds the visitor's; its images reach the page through `scene`."""

    def __init__(self, session: SessionOf, stage: gr.HTML, scene: gr.HTML, knobs: list[Any]) -> None:
        self.session, self.scene = session, scene
        upload = gr.UploadButton("Upload images (.zip, .png, .jpg)", type="filepath", size="sm")
        folder = gr.UploadButton("Upload a folder of images", type="filepath", file_count="directory", size="sm")
        hub = gr.Textbox(label="or a data set on the Hugging Face Hub", placeholder="fashion_mnist, cifar10 …")
        back = gr.Button("Back to MNIST", size="sm")
        self.word = gr.HTML("", elem_classes="pg-notice")
        shown = [scene, self.word]
        stage.another(self._another, inputs=knobs, outputs=shown, preprocess=False, **ASIDE)
        upload.upload(self._upload, inputs=[upload, *knobs], outputs=shown, **ASIDE)
        folder.upload(self._upload_folder, inputs=[folder, *knobs], outputs=shown, **ASIDE)
        hub.submit(self._hub, inputs=[hub, *knobs], outputs=shown, **ASIDE)
        back.click(self._back, inputs=knobs, outputs=shown, **ASIDE)

    def _another(self, request: gr.Request, *values: Any) -> Update:
        def other() -> Update:
            session = self.session(request)
            session.real_seed += 1
            return {self.scene: packed_scene(session, mnist_settings(values))}

        return attempt(self.word, other)

    def _back(self, request: gr.Request, *values: Any) -> Update:
        def back() -> Update:
            session = self.session(request)
            session.uploaded = None
            return {self.scene: packed_scene(session, mnist_settings(values))}

        return attempt(self.word, back)

    def _upload(self, path: str | None, request: gr.Request, *values: Any) -> Update:
        def read() -> ImageSet:
            if path is None:
                raise ImageDataError("Choose a file first.")
            uploaded = Path(path)  # Gradio put it into its own folder, and lets no request name any other file
            return read_upload(_taken([uploaded])[0][1], uploaded.name)

        return self._open(read, request, values)

    def _upload_folder(self, paths: list[str] | None, request: gr.Request, *values: Any) -> Update:
        def read() -> ImageSet:
            if not paths:
                raise ImageDataError("Choose a folder with images in it.")
            return read_folder(_taken([Path(path) for path in paths]))

        return self._open(read, request, values)

    def _hub(self, name: Any, request: gr.Request, *values: Any) -> Update:
        return self._open(lambda: open_hub(str(name or "").strip()), request, values)

    def _open(self, read: Callable[[], ImageSet], request: gr.Request, values: tuple[Any, ...]) -> Update:
        """What `read` gives, in place of MNIST."""

        def use() -> Update:
            session = self.session(request)
            images = session.uploaded = read()
            c, h, w = images.shape
            colour = "grey" if c == 1 else "colour"
            said = f"{images.name}: {len(images):,} images, {h}×{w}, {colour}. Live training can learn from them."
            return {self.scene: packed_scene(session, mnist_settings(values)), self.word: notice(said)}

        return attempt(self.word, use)


def _taken(paths: list[Path]) -> list[tuple[str, bytes]]:
    """Uploaded files' names and contents; the files are deleted. Raises ImageDataError.

    Gradio keeps a file under its content's checksum: of two visitors who upload the same one, one may find it gone.
    """
    most = SETTINGS.max_image_upload_bytes
    try:
        if sum(path.stat().st_size for path in paths) > most:
            raise ImageDataError(f"This is more than {most:,} bytes. Choose fewer images.")
        return [(path.name, path.read_bytes()) for path in paths]
    except FileNotFoundError as error:
        raise ImageDataError("The upload got lost. Please upload it again.") from error
    finally:
        for path in paths:
            path.unlink(missing_ok=True)
