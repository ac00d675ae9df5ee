// DecodePlan and PrefillPlan.
#include <memory>
#include <span>

#include "classes.hpp"
#include "kernel_objects.hpp"
#include "marshal.hpp"

namespace kvspan::node {
namespace {

// Tell our own objects from others that only look like them.
constexpr napi_type_tag kDecodePlanTag{0x6b767370616e2d64, 0x65636f64652d706c};
constexpr napi_type_tag kPrefillPlanTag{0x6b767370616e2d70, 0x72656669006c2d70};

std::span<const std::int32_t> ints(const Napi::Int32Array& array) {
  return {array.Data(), array.ElementLength()};
}

// What the two kinds of plans share: an inner plan until it is closed.
template <typename Self, typename Inner>
class PlanObject : public Napi::ObjectWrap<Self> {
 public:
  PlanObject(const Napi::CallbackInfo& info, const napi_type_tag& tag)
      : Napi::ObjectWrap<Self>(info), plan_(constructed<Inner>(info)) {
    if (napi_type_tag_object(info.Env(), info.This(), &tag) != napi_ok) {
      throw Napi::Error::New(info.Env(), "cannot tag a plan");
    }
  }

  const std::shared_ptr<Inner>& open() const {
    if (!plan_) throw Error(Code::Closed, "the plan is closed");
    return plan_;
  }
  Napi::Value close(const Napi::CallbackInfo& info) {
    plan_.reset();
    return info.Env().Undefined();
  }

  static std::shared_ptr<Inner> unwrap(Napi::Value value, const std::string& path,
                                       const napi_type_tag& tag, const char* name) {
    bool is = false;
    if (value.IsObject()) napi_check_object_type_tag(value.Env(), value, &tag, &is);
    if (!is) throw Error::badField(path, show(value), name);
    return Self::Unwrap(value.As<Napi::Object>())->open();
  }

 private:
  std::shared_ptr<Inner> plan_;
};

class DecodePlanObject : public PlanObject<DecodePlanObject, attention::DecodePlanBuffer> {
 public:
  explicit DecodePlanObject(const Napi::CallbackInfo& info) : PlanObject(info, kDecodePlanTag) {}

  static Napi::Function define(Napi::Env env) {
    return DefineClass(env, "DecodePlan",
                       {InstanceMethod<&DecodePlanObject::update>("update", kReplaceable),
                        InstanceMethod("close", &DecodePlanObject::close, kReplaceable)});
  }

 private:
  Napi::Value update(const Napi::CallbackInfo& info) {
    return guarded(info.Env(), [&]() -> Napi::Value {
      const auto stream = toUint64(info[1], "stream");
      const auto lengths = toInt32Array(info[0], "lengths");
      const auto& plan = open()->update(ints(lengths), stream);
      auto report = Napi::Object::New(info.Env());
      report.Set("blocks", static_cast<double>(plan.blockStarts.size() - 1));
      report.Set("items", static_cast<double>(plan.items.size()));
      report.Set("parts", plan.parts);
      report.Set("imbalance", plan.imbalance());
      return report;
    });
  }
};

class PrefillPlanObject : public PlanObject<PrefillPlanObject, attention::PrefillPlanBuffer> {
 public:
  explicit PrefillPlanObject(const Napi::CallbackInfo& info) : PlanObject(info, kPrefillPlanTag) {}

  static Napi::Function define(Napi::Env env) {
    return DefineClass(env, "PrefillPlan",
                       {InstanceMethod<&PrefillPlanObject::update>("update", kReplaceable),
                        InstanceMethod("close", &PrefillPlanObject::close, kReplaceable)});
  }

 private:
  Napi::Value update(const Napi::CallbackInfo& info) {
    return guarded(info.Env(), [&]() -> Napi::Value {
      const auto stream = toUint64(info[2], "stream");
      const auto starts = toInt32Array(info[0], "queryStarts");
      const auto lengths = toInt32Array(info[1], "lengths");
      open()->update(ints(starts), ints(lengths), stream);
      return info.Env().Undefined();
    });
  }
};

}  // namespace

std::shared_ptr<attention::DecodePlanBuffer> toDecodePlan(Napi::Value value,
                                                          const std::string& path) {
  return DecodePlanObject::unwrap(value, path, kDecodePlanTag, "a DecodePlan");
}

std::shared_ptr<attention::PrefillPlanBuffer> toPrefillPlan(Napi::Value value,
                                                            const std::string& path) {
  return PrefillPlanObject::unwrap(value, path, kPrefillPlanTag, "a PrefillPlan");
}

void defineKernelPlans(Napi::Env env, Classes& classes) {
  classes.decodePlan = Napi::Persistent(DecodePlanObject::define(env));
  classes.prefillPlan = Napi::Persistent(PrefillPlanObject::define(env));
}

}  // namespace kvspan::node
