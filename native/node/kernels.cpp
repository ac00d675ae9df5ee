// Kernels: a GPU with the compiled attention kernels; and KernelBatch: launches of them.
#include <memory>
#include <set>
#include <utility>

#include "classes.hpp"
#include "kernel_arguments.hpp"
#include "kernel_objects.hpp"
#include "marshal.hpp"

namespace kvspan::node {
namespace {

using attention::KernelBatch;
using attention::KernelLibrary;

class KernelBatchObject : public Napi::ObjectWrap<KernelBatchObject> {
 public:
  explicit KernelBatchObject(const Napi::CallbackInfo& info)
      : ObjectWrap(info), batch_(constructed<KernelBatch>(info)) {}

  static Napi::Function define(Napi::Env env) {
    return DefineClass(env, "KernelBatch",
                       {InstanceMethod<&KernelBatchObject::launch>("launch", kReplaceable),
                        InstanceMethod<&KernelBatchObject::capture>("capture", kReplaceable),
                        InstanceMethod<&KernelBatchObject::time>("time", kReplaceable),
                        InstanceMethod<&KernelBatchObject::close>("close", kReplaceable)});
  }

 private:
  KernelBatch& open() const {
    if (!batch_) throw Error(Code::Closed, "the batch is closed");
    return *batch_;
  }

  Napi::Value launch(const Napi::CallbackInfo& info) {
    return guarded(info.Env(), [&] {
      const auto stream = toUint64(info[0], "stream");
      open().launch(stream);
      return info.Env().Undefined();
    });
  }

  Napi::Value capture(const Napi::CallbackInfo& info) {
    return guarded(info.Env(), [&] {
      open().capture();
      return info.Env().Undefined();
    });
  }

  Napi::Value time(const Napi::CallbackInfo& info) {
    return guarded(info.Env(), [&]() -> Napi::Value {
      const auto options = toTime(info[0]);
      const auto times = open().time(options);
      auto result = Napi::Float64Array::New(info.Env(), times.size());
      std::copy(times.begin(), times.end(), result.Data());
      return result;
    });
  }

  Napi::Value close(const Napi::CallbackInfo& info) {
    batch_.reset();
    return info.Env().Undefined();
  }

  std::shared_ptr<KernelBatch> batch_;
};

void addWork(KernelBatch& batch, Napi::Value value, const std::string& path) {
  const Fields work(value, path);
  const auto kind = toWord(work.at("kind"), work.path("kind"),
                           {"append", "decode", "prefill", "read", "fill", "copy"});
  if (kind == "append") {
    batch.addAppend(toAppend(work));
  } else if (kind == "decode" || kind == "prefill") {
    const auto shape = toKernelShape(work.at("shape"), work.path("shape"));
    const auto arguments = toAttention(work);
    const auto checkPlanned = [&](const attention::Shape& planned) {
      if (planned == shape) return;
      throw Error::badField(work.path("plan"), "a plan for another shape",
                            "one for this work's shape");
    };
    if (kind == "decode") {
      auto plan = toDecodePlan(work.at("plan"), work.path("plan"));
      checkPlanned(plan->shape());
      batch.addDecode(arguments, std::move(plan));
    } else {
      auto plan = toPrefillPlan(work.at("plan"), work.path("plan"));
      checkPlanned(plan->shape());
      batch.addPrefill(arguments, std::move(plan));
    }
  } else if (kind == "read") {
    batch.addRead(work.uint64("address"), work.uint64("bytes"));
  } else if (kind == "fill") {
    batch.addFill(work.uint64("address"), work.uint64("bytes"),
                  static_cast<std::uint8_t>(work.uint32("byte", 0, 255)));
  } else {
    batch.addCopy(work.uint64("to"), work.uint64("from"), work.uint64("bytes"));
  }
}

class KernelsObject : public Napi::ObjectWrap<KernelsObject> {
 public:
  explicit KernelsObject(const Napi::CallbackInfo& info)
      : ObjectWrap(info), library_(constructed<KernelLibrary>(info)) {}

  static Napi::Function define(Napi::Env env) {
    return DefineClass(env, "Kernels",
                       {InstanceAccessor<&KernelsObject::device>("device", kReplaceableAccessor),
                        method<&KernelsObject::allocate>("allocate"),
                        method<&KernelsObject::free>("free"),
                        method<&KernelsObject::copyIn>("copyIn"),
                        method<&KernelsObject::copyOut>("copyOut"),
                        method<&KernelsObject::createStream>("createStream"),
                        method<&KernelsObject::destroyStream>("destroyStream"),
                        method<&KernelsObject::synchronize>("synchronize"),
                        method<&KernelsObject::createDecodePlan>("createDecodePlan"),
                        method<&KernelsObject::createPrefillPlan>("createPrefillPlan"),
                        method<&KernelsObject::prepare>("prepare"),
                        InstanceMethod<&KernelsObject::close>("close", kReplaceable)});
  }

 private:
  using Body = Napi::Value (KernelsObject::*)(const Napi::CallbackInfo&);

  template <Body body>
  Napi::Value checked(const Napi::CallbackInfo& info) {
    return guarded(info.Env(), [&] { return (this->*body)(info); });
  }
  template <Body body>
  static Napi::ClassPropertyDescriptor<KernelsObject> method(const char* name) {
    return InstanceMethod<&KernelsObject::checked<body>>(name, kReplaceable);
  }

  // After the arguments were read: reading them may run JavaScript.
  const std::shared_ptr<KernelLibrary>& open() const {
    if (!library_) throw Error(Code::Closed, "the kernels are closed");
    return library_;
  }
  attention::Gpu& gpu() const { return *open()->gpu(); }

  Napi::Value device(const Napi::CallbackInfo& info) {
    return guarded(info.Env(), [&]() -> Napi::Value {
      const auto& facts = gpu().facts();
      auto result = Napi::Object::New(info.Env());
      result.Set("ordinal", facts.ordinal);
      result.Set("name", facts.name);
      result.Set("uuid", facts.uuid);
      result.Set("driver", facts.driver);
      result.Set("computeMajor", facts.computeMajor);
      result.Set("computeMinor", facts.computeMinor);
      result.Set("multiprocessors", facts.multiprocessors);
      result.Set("clockKhzMax", facts.clockKhzMax);
      result.Set("memoryClockKhzMax", facts.memoryClockKhzMax);
      result.Set("l2Bytes", fromUint64(info.Env(), facts.l2Bytes));
      result.Set("totalBytes", fromUint64(info.Env(), facts.totalBytes));
      result.Set("freeBytes", fromUint64(info.Env(), gpu().freeBytes()));
      return result;
    });
  }

  Napi::Value allocate(const Napi::CallbackInfo& info) {
    const auto bytes = toUint64(info[0], "bytes", 1);
    return fromUint64(info.Env(), gpu().allocate(bytes));
  }

  Napi::Value free(const Napi::CallbackInfo& info) {
    const auto address = toUint64(info[0], "address", 1);
    gpu().free(address);
    return info.Env().Undefined();
  }

  Napi::Value copyIn(const Napi::CallbackInfo& info) {
    const auto address = toUint64(info[0], "address", 1);
    const auto data = toUint8Array(info[1], "data");
    gpu().copyIn(address, data.Data(), data.ByteLength());
    return info.Env().Undefined();
  }

  Napi::Value copyOut(const Napi::CallbackInfo& info) {
    const auto address = toUint64(info[0], "address", 1);
    auto data = toUint8Array(info[1], "data");
    gpu().copyOut(data.Data(), address, data.ByteLength());
    return info.Env().Undefined();
  }

  Napi::Value createStream(const Napi::CallbackInfo& info) {
    return fromUint64(info.Env(), gpu().createStream());
  }

  Napi::Value destroyStream(const Napi::CallbackInfo& info) {
    const auto stream = toUint64(info[0], "stream", 1);
    gpu().destroyStream(stream);
    return info.Env().Undefined();
  }

  Napi::Value synchronize(const Napi::CallbackInfo& info) {
    const auto stream = toUint64(info[0], "stream");
    gpu().synchronize(stream);
    return info.Env().Undefined();
  }

  Napi::Value createDecodePlan(const Napi::CallbackInfo& info) {
    const Fields fields(info[0], "options");
    const auto shape = toKernelShape(fields.at("shape"), fields.path("shape"));
    const attention::PlanCapacity capacity{.requestsMax = fields.uint32("requestsMax", 1, kInt32Max),
                                           .tokensMax = fields.uint32("tokensMax", 1, kInt32Max),
                                           .window = toWindow(fields)};
    return construct(
        classesOf(info.Env()).decodePlan,
        std::make_shared<attention::DecodePlanBuffer>(open()->gpu(), shape, capacity));
  }

  Napi::Value createPrefillPlan(const Napi::CallbackInfo& info) {
    const Fields fields(info[0], "options");
    const auto shape = toKernelShape(fields.at("shape"), fields.path("shape"));
    const attention::PlanCapacity capacity{.requestsMax = fields.uint32("requestsMax", 1, kInt32Max),
                                           .tokensMax = fields.uint32("tokensMax", 1, kInt32Max),
                                           .queriesMax = fields.uint32("queriesMax", 1, kInt32Max)};
    return construct(
        classesOf(info.Env()).prefillPlan,
        std::make_shared<attention::PrefillPlanBuffer>(open()->gpu(), shape, capacity));
  }

  Napi::Value prepare(const Napi::CallbackInfo& info) {
    if (!info[0].IsArray()) throw Error::badField("works", show(info[0]), "an array");
    const auto works = info[0].As<Napi::Array>();
    auto batch = std::make_shared<KernelBatch>(open());
    for (std::uint32_t i = 0; i < works.Length(); ++i) {
      const auto path = "works[" + std::to_string(i) + "]";
      try {
        addWork(*batch, works.Get(i), path);
      } catch (const Error& error) {
        throw error.within(path);
      }
    }
    return construct(classesOf(info.Env()).kernelBatch, std::move(batch));
  }

  Napi::Value close(const Napi::CallbackInfo& info) {
    // Plans and batches that nobody has closed hold the GPU too: they must not hold its memory.
    if (library_) library_->gpu()->close();
    library_.reset();
    return info.Env().Undefined();
  }

  std::shared_ptr<KernelLibrary> library_;
};

}  // namespace

void defineKernels(Napi::Env env, Classes& classes) {
  classes.kernels = Napi::Persistent(KernelsObject::define(env));
  classes.kernelBatch = Napi::Persistent(KernelBatchObject::define(env));
}

Napi::Value openKernels(const Napi::CallbackInfo& info) {
  const Fields fields(info[0], "options");
  const auto ordinal = fields.uint32("ordinal", 0, kInt32Max);
  const auto library = toTextOrNull(fields.at("library"), fields.path("library"));
  const auto folder = fields.text("folder");
  attention::checkKernelFolder(folder);
  auto gpu = std::make_shared<attention::Gpu>(static_cast<int>(ordinal), library);
  return construct(classesOf(info.Env()).kernels,
                   std::make_shared<KernelLibrary>(std::move(gpu), folder));
}

}  // namespace kvspan::node
