"""Artifacts, logged models and the registry by MLflow's own client; prints what it found as JSON."""

import json
import os
import sys
import tempfile
from pathlib import Path

import mlflow
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

found = {}
client = MlflowClient()
folder = Path(tempfile.mkdtemp())


def tree(path):
    return sorted(str(p.relative_to(path)).replace(os.sep, "/") for p in Path(path).rglob("*") if p.is_file())


def refused(call, *args, **more):
    try:
        call(*args, **more)
    except MlflowException as error:
        return [error.error_code, str(error)]
    return None


mlflow.set_experiment("files")
with mlflow.start_run() as run:
    run_id = run.info.run_id
    (folder / "note.txt").write_text("a note")
    (folder / "empty").write_bytes(b"")
    (folder / "odd 100% ü.txt").write_text("odd")
    mlflow.log_artifact(folder / "note.txt")
    mlflow.log_artifact(folder / "empty")
    mlflow.log_artifact(folder / "odd 100% ü.txt", "sub dir")
    adapter = folder / "adapter"
    adapter.mkdir()
    (adapter / "adapter_model.safetensors").write_bytes(Path(sys.argv[1]).read_bytes())
    (adapter / "adapter_config.json").write_text('{"r": 4}')
    (adapter / "MLmodel").write_text("flavors: {python_function: {loader_module: none}}")
    (adapter / "deep").mkdir()
    (adapter / "deep" / "readme.md").write_text("deep")
    mlflow.log_artifacts(str(adapter), "model")
    mlflow.log_text("first", "text.txt")
    mlflow.log_text("second", "text.txt")
    mlflow.log_dict({"a": 1}, "dict.json")
    mlflow.log_table({"x": [1], "y": ["a"]}, "table.json")
    mlflow.log_table({"x": [2], "y": ["b"]}, "table.json")
    try:
        import numpy
        from PIL import Image  # noqa: F401

        mlflow.log_image(numpy.zeros((4, 4, 3), dtype=numpy.uint8), "image.png")
        found["image"] = True
    except ImportError:
        found["image"] = False
    big = folder / "big.bin"
    big.write_bytes(os.urandom(12 * 1024 * 1024))
    # A Path would do for a file in one request, but not for one in parts.
    mlflow.log_artifact(str(big), "large")

found["run_id"] = run_id
found["artifact_uri"] = run.info.artifact_uri
found["root"] = sorted([f.path, f.is_dir, f.file_size] for f in client.list_artifacts(run_id))
found["sub"] = [f.path for f in client.list_artifacts(run_id, "sub dir")]
found["text"] = mlflow.artifacts.load_text(f"runs:/{run_id}/text.txt")
found["dict"] = mlflow.artifacts.load_dict(f"runs:/{run_id}/dict.json")
found["table"] = mlflow.load_table("table.json", run_ids=[run_id])["x"].tolist()
there = mlflow.artifacts.download_artifacts(run_id=run_id, dst_path=str(folder / "there"))
found["all"] = tree(there)
found["big"] = (Path(there) / "large" / "big.bin").read_bytes() == big.read_bytes()
one = mlflow.artifacts.download_artifacts(run_id=run_id, artifact_path="sub dir/odd 100% ü.txt")
found["one"] = Path(one).read_text()
found["missing"] = refused(mlflow.artifacts.download_artifacts, run_id=run_id, artifact_path="none.txt")


class Model(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input, params=None):
        return model_input


with mlflow.start_run() as second:
    logged = mlflow.pyfunc.log_model(
        name="checkpoint",
        python_model=Model(),
        artifacts={"weights": str(adapter)},
        params={"r": "4"},
        # Else the client starts a Python of its own to find out.
        pip_requirements=["mlflow"],
    )
    mlflow.log_artifact(folder / "note.txt")
found["logged"] = logged.model_id
found["logged_files"] = [f.path for f in client.list_artifacts(second.info.run_id, "checkpoint")]
found["status"] = str(mlflow.get_logged_model(logged.model_id).status)
found["outputs"] = [o.model_id for o in client.get_run(second.info.run_id).outputs.model_outputs]
found["searched"] = [
    m.name for m in mlflow.search_logged_models(filter_string="name = 'checkpoint'", output_format="list")
]
client.set_logged_model_tags(logged.model_id, {"stage": "test"})
client.delete_logged_model_tag(logged.model_id, "stage")
found["tags"] = {k: v for k, v in mlflow.get_logged_model(logged.model_id).tags.items() if k == "stage"}
found["echo"] = mlflow.pyfunc.load_model(logged.model_uri).predict([1, 2])

name = "aki"
version = mlflow.register_model(f"runs:/{run_id}/model", name)
found["version"] = [version.version, version.run_id, version.current_stage, version.status]
client.set_registered_model_alias(name, "champion", version.version)
found["alias"] = client.get_model_version_by_alias(name, "champion").version
pulled = mlflow.artifacts.download_artifacts(f"models:/{name}@champion", dst_path=str(folder / "pulled"))
found["pulled"] = tree(pulled)
found["same"] = (Path(pulled) / "adapter_model.safetensors").read_bytes() == Path(sys.argv[1]).read_bytes()
found["numbered"] = tree(mlflow.artifacts.download_artifacts(f"models:/{name}/1", dst_path=str(folder / "numbered")))
client.set_registered_model_tag(name, "team", "red")
client.set_model_version_tag(name, "1", "q", "good")
client.update_registered_model(name, description="d")
client.update_model_version(name, "1", description="e")
found["models"] = [m.name for m in client.search_registered_models("tags.team = 'red'")]
found["versions"] = [v.version for v in client.search_model_versions(f"name = '{name}' and run_id = '{run_id}'")]
found["latest"] = [v.version for v in client.get_latest_versions(name)]
found["production"] = refused(client.transition_model_version_stage, name, "1", "Production")
found["protected"] = refused(client.set_registered_model_alias, name, "production", "1")
found["deleted"] = refused(client.delete_registered_model, name)
found["renamed"] = refused(client.rename_registered_model, name, "other")
client.delete_registered_model_alias(name, "champion")
found["gone"] = refused(client.get_model_version_by_alias, name, "champion")
from_logged = mlflow.register_model(logged.model_uri, "from-logged")
found["from_logged"] = from_logged.version
found["loaded"] = mlflow.pyfunc.load_model("models:/from-logged/1").predict([3])
client.delete_model_version("from-logged", "1")
found["after"] = refused(client.get_model_version, "from-logged", "1")
print("FOUND " + json.dumps(found))
