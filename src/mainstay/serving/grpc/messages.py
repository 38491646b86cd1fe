"""The messages and services that are spoken here, from their names and field numbers, in a descriptor pool of our own.

Two sets of classes for one protocol cannot stand in protobuf's common pool, and a client's set may be in this process.

- `inference`: https://github.com/kserve/open-inference-protocol/blob/main/specification/protocol/open_inference_grpc.proto
  with Triton's fields and calls: https://github.com/triton-inference-server/common/blob/main/protobuf/grpc_service.proto
  its configurations: https://github.com/triton-inference-server/common/blob/main/protobuf/model_config.proto
  and what KServe has added to two of them, whose answers are empty in Triton's:
  https://github.com/kserve/kserve/blob/master/python/kserve/kserve/protocol/grpc/grpc_predict_v2.proto
- `grpc.health.v1`: https://github.com/grpc/grpc-proto/blob/master/grpc/health/v1/health.proto
- `grpc.reflection.v1` and `v1alpha`: https://github.com/grpc/grpc-proto/blob/master/grpc/reflection/v1/reflection.proto
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
)
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass

INFERENCE, HEALTH = "inference.GRPCInferenceService", "grpc.health.v1.Health"
REFLECTIONS = ("grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection")

_SPOKEN = """
ServerLiveRequest
ServerLiveResponse live:bool=1
ServerReadyRequest
ServerReadyResponse ready:bool=1
ModelReadyRequest name:string=1 version:string=2
ModelReadyResponse ready:bool=1
ServerMetadataRequest
ServerMetadataResponse name:string=1 version:string=2 extensions:*string=3
ModelMetadataRequest name:string=1 version:string=2
ModelMetadataResponse name:string=1 versions:*string=2 platform:string=3 inputs:*.TensorMetadata=4
  outputs:*.TensorMetadata=5
ModelMetadataResponse.TensorMetadata name:string=1 datatype:string=2 shape:*int64=3
InferParameter bool_param:|bool=1 int64_param:|int64=2 string_param:|string=3
  double_param:|double=4 uint64_param:|uint64=5
InferTensorContents bool_contents:*bool=1 int_contents:*int32=2 int64_contents:*int64=3 uint_contents:*uint32=4
  uint64_contents:*uint64=5 fp32_contents:*float=6 fp64_contents:*double=7 bytes_contents:*bytes=8
ModelInferRequest model_name:string=1 model_version:string=2 id:string=3 parameters:%InferParameter=4
  inputs:*.InferInputTensor=5 outputs:*.InferRequestedOutputTensor=6 raw_input_contents:*bytes=7
ModelInferRequest.InferInputTensor name:string=1 datatype:string=2 shape:*int64=3 parameters:%InferParameter=4
  contents:InferTensorContents=5
ModelInferRequest.InferRequestedOutputTensor name:string=1 parameters:%InferParameter=2
ModelInferResponse model_name:string=1 model_version:string=2 id:string=3 parameters:%InferParameter=4
  outputs:*.InferOutputTensor=5 raw_output_contents:*bytes=6
ModelInferResponse.InferOutputTensor name:string=1 datatype:string=2 shape:*int64=3 parameters:%InferParameter=4
  contents:InferTensorContents=5
ModelStreamInferResponse error_message:string=1 infer_response:ModelInferResponse=2
ModelConfigRequest name:string=1 version:string=2
ModelInput name:string=1 data_type:DataType=2 dims:*int64=4
ModelOutput name:string=1 data_type:DataType=2 dims:*int64=3
ModelConfig name:string=1 platform:string=2 backend:string=17 max_batch_size:int32=4 input:*ModelInput=5
  output:*ModelOutput=6
ModelConfigResponse config:ModelConfig=1
ModelStatisticsRequest name:string=1 version:string=2
StatisticDuration count:uint64=1 ns:uint64=2
InferStatistics success:StatisticDuration=1 fail:StatisticDuration=2 queue:StatisticDuration=3
  compute_input:StatisticDuration=4 compute_infer:StatisticDuration=5 compute_output:StatisticDuration=6
  cache_hit:StatisticDuration=7 cache_miss:StatisticDuration=8
InferBatchStatistics batch_size:uint64=1 compute_input:StatisticDuration=2 compute_infer:StatisticDuration=3
  compute_output:StatisticDuration=4
ModelStatistics name:string=1 version:string=2 last_inference:uint64=3 inference_count:uint64=4 execution_count:uint64=5
  inference_stats:InferStatistics=6 batch_stats:*InferBatchStatistics=7
ModelStatisticsResponse model_stats:*ModelStatistics=1
ModelRepositoryParameter bool_param:|bool=1 int64_param:|int64=2 string_param:|string=3 bytes_param:|bytes=4
RepositoryIndexRequest repository_name:string=1 ready:bool=2
RepositoryIndexResponse models:*.ModelIndex=1
RepositoryIndexResponse.ModelIndex name:string=1 version:string=2 state:string=3 reason:string=4
RepositoryModelLoadRequest repository_name:string=1 model_name:string=2 parameters:%ModelRepositoryParameter=3
RepositoryModelLoadResponse model_name:string=1 isLoaded:bool=2
RepositoryModelUnloadRequest repository_name:string=1 model_name:string=2 parameters:%ModelRepositoryParameter=3
RepositoryModelUnloadResponse model_name:string=1 isUnloaded:bool=2
"""
CALLS = (
    "ServerLive",
    "ServerReady",
    "ModelReady",
    "ServerMetadata",
    "ModelMetadata",
    "ModelInfer",
    "ModelStreamInfer",
    "ModelConfig",
    "ModelStatistics",
    "RepositoryIndex",
    "RepositoryModelLoad",
    "RepositoryModelUnload",
)
_DATA_TYPES = "INVALID BOOL UINT8 UINT16 UINT32 UINT64 INT8 INT16 INT32 INT64 FP16 FP32 FP64 STRING BF16"
"""Of a configuration, as they are numbered."""
_CHECKED = """
HealthCheckRequest service:string=1
HealthCheckResponse status:ServingStatus=1
"""
SERVING_STATUS: Mapping[str, int] = {"UNKNOWN": 0, "SERVING": 1, "NOT_SERVING": 2, "SERVICE_UNKNOWN": 3}
_REFLECTED = """
ExtensionRequest containing_type:string=1 extension_number:int32=2
ServerReflectionRequest host:string=1 file_by_filename:|string=3 file_containing_symbol:|string=4
  file_containing_extension:|ExtensionRequest=5 all_extension_numbers_of_type:|string=6 list_services:|string=7
FileDescriptorResponse file_descriptor_proto:*bytes=1
ExtensionNumberResponse base_type_name:string=1 extension_number:*int32=2
ServiceResponse name:string=1
ListServiceResponse service:*ServiceResponse=1
ErrorResponse error_code:int32=1 error_message:string=2
ServerReflectionResponse valid_host:string=1 original_request:ServerReflectionRequest=2
  file_descriptor_response:|FileDescriptorResponse=4 all_extension_numbers_response:|ExtensionNumberResponse=5
  list_services_response:|ListServiceResponse=6 error_response:|ErrorResponse=7
"""
_TYPES = {
    name: getattr(FieldDescriptorProto, f"TYPE_{name.upper()}")
    for name in ("bool", "string", "bytes", "int32", "int64", "uint32", "uint64", "float", "double")
}


def inference_file() -> FileDescriptorProto:
    """The inference service."""
    file = _file("inference.proto", "inference", _SPOKEN)
    types = file.enum_type.add(name="DataType")
    for number, name in enumerate(_DATA_TYPES.split(" ")):
        types.value.add(name=f"TYPE_{name}", number=number)
    for message in file.message_type:
        for field in message.field:
            if field.type_name == ".inference.DataType":
                field.type = FieldDescriptorProto.TYPE_ENUM
    service = file.service.add(name="GRPCInferenceService")
    for call in CALLS:
        streams = call == "ModelStreamInfer"
        asked = "ModelInferRequest" if streams else f"{call}Request"
        service.method.add(
            name=call,
            input_type=f".inference.{asked}",
            output_type=f".inference.{call}Response",
            client_streaming=streams,
            server_streaming=streams,
        )
    return file


def health_file() -> FileDescriptorProto:
    """The health service; its other call, Watch, is not offered."""
    file = _file("grpc/health/v1/health.proto", "grpc.health.v1", _CHECKED)
    values = file.message_type[1].enum_type.add(name="ServingStatus")
    assert isinstance(values, EnumDescriptorProto)
    for name, number in SERVING_STATUS.items():
        values.value.add(name=name, number=number)
    status = file.message_type[1].field[0]
    status.type, status.type_name = FieldDescriptorProto.TYPE_ENUM, ".grpc.health.v1.HealthCheckResponse.ServingStatus"
    said = ".grpc.health.v1.HealthCheck"
    file.service.add(name="Health").method.add(name="Check", input_type=f"{said}Request", output_type=f"{said}Response")
    return file


def reflection_file(service: str) -> FileDescriptorProto:
    """One of the reflection services, which differ in their package's name alone."""
    package = service.rpartition(".")[0]
    file = _file(f"{package.replace('.', '/')}/reflection.proto", package, _REFLECTED)
    said = f".{package}.ServerReflection"
    file.service.add(name="ServerReflection").method.add(
        name="ServerReflectionInfo",
        input_type=f"{said}Request",
        output_type=f"{said}Response",
        client_streaming=True,
        server_streaming=True,
    )
    return file


class Messages:
    """The classes of all messages, and the files that describe them."""

    def __init__(self) -> None:
        files = [inference_file(), health_file(), *map(reflection_file, REFLECTIONS)]
        self.files = {file.name: file.SerializeToString() for file in files}
        self.pool = DescriptorPool()
        for data in self.files.values():
            self.pool.AddSerializedFile(data)

    def __getitem__(self, name: str) -> Any:
        """The class of a message, by its full name; those of `inference` by their own names too."""
        return GetMessageClass(self.pool.FindMessageTypeByName(name if "." in name else f"inference.{name}"))


def _file(name: str, package: str, spoken: str) -> FileDescriptorProto:
    file = FileDescriptorProto(name=name, package=package, syntax="proto3")
    for line in spoken.strip().replace("\n  ", " ").split("\n"):
        own, *fields = line.split(" ")
        outer, _, inner = own.rpartition(".")
        within = (
            next(each for each in file.message_type if each.name == outer).nested_type if outer else file.message_type
        )
        message = within.add(name=inner)
        for field in fields:
            _add(message, f".{package}.{own}", package, field)
    return file


def _add(message: DescriptorProto, path: str, package: str, said: str) -> None:
    """Adds the field `NAME:TYPE=NUMBER`; `*` repeats, `|` is one of several, `%` maps texts, `.` is of the message."""
    name, _, rest = said.partition(":")
    kind, _, number = rest.partition("=")
    mark = kind[0] if kind[0] in "*|%" else ""
    kind = kind.removeprefix(mark)
    field = message.field.add(name=name, number=int(number), label=FieldDescriptorProto.LABEL_OPTIONAL)
    if mark in ("*", "%"):
        field.label = FieldDescriptorProto.LABEL_REPEATED
    if mark == "|":
        if not message.oneof_decl:
            message.oneof_decl.add(name="parameter_choice" if name.endswith("_param") else "message")
        field.oneof_index = 0
    if mark == "%":
        entry = message.nested_type.add(name=f"{name.title()}Entry")
        entry.options.map_entry = True
        _add(entry, "", package, "key:string=1")
        _add(entry, "", package, f"value:{kind}=2")
        _of_message(field, f"{path}.{entry.name}")
    elif kind in _TYPES:
        field.type = _TYPES[kind]
    else:
        _of_message(field, f"{path}{kind}" if kind.startswith(".") else f".{package}.{kind}")


def _of_message(field: FieldDescriptorProto, path: str) -> None:
    field.type, field.type_name = FieldDescriptorProto.TYPE_MESSAGE, path
