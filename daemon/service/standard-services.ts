/**
 * `grpc.health.v1` and `grpc.reflection.v1`, so that every gRPC tool works here. The packages that
 * usually serve them read .proto files beside their code, which a bundle does not have.
 */
import {
  status,
  type GrpcObject,
  type sendUnaryData,
  type Server,
  type ServerDuplexStream,
  type ServerUnaryCall,
  type ServerWritableStream,
  type ServiceClientConstructor,
  type UntypedServiceImplementation,
} from '@grpc/grpc-js';
import { ReflectionV1Implementation } from '@grpc/reflection/build/src/implementations/reflection-v1.js';
import { loadReflectedPackage, loadStandardPackage } from '../../proto/load.js';
import { guardStream, guardUnary, type Guard } from './guard.js';

type Serving = 'SERVING' | 'NOT_SERVING';
interface HealthRequest {
  readonly service: string;
}
interface HealthResponse {
  readonly status: Serving | 'SERVICE_UNKNOWN';
}
type WatchCall = ServerWritableStream<HealthRequest, HealthResponse>;
type ReflectionRequest = Parameters<ReflectionV1Implementation['handleServerReflectionRequest']>[0];

const SERVICES = ['', 'kvspan.v1.MemoryService', 'kvspan.v1.AdminService'];

function definitionOf(root: GrpcObject, path: string): ServiceClientConstructor['service'] {
  let node: unknown = root;
  for (const name of path.split('.')) node = (node as GrpcObject)[name];
  return (node as ServiceClientConstructor).service;
}

/** Says whether the daemon takes requests; watchers hear of a change. */
export class Health {
  private serving: Serving = 'SERVING';
  private readonly watchers = new Set<WatchCall>();

  constructor(private readonly guard: Guard) {}

  /** The daemon drains: load balancers and supervisors look elsewhere. */
  notServing(): void {
    this.serving = 'NOT_SERVING';
    for (const call of this.watchers) call.write(this.statusOf(call.request.service));
  }

  /** Ends the watches: they would never end by themselves, and a shutdown waits for calls. */
  endWatches(): void {
    for (const call of this.watchers) call.end();
    this.watchers.clear();
  }

  implementation(): UntypedServiceImplementation {
    return {
      Check: (
        call: ServerUnaryCall<HealthRequest, HealthResponse>,
        callback: sendUnaryData<HealthResponse>,
      ) => {
        const answer = this.statusOf(call.request.service);
        if (answer.status === 'SERVICE_UNKNOWN')
          callback({ code: status.NOT_FOUND, details: 'no such service here' });
        else callback(null, answer);
      },
      List: guardUnary('Health.List', this.guard, () => ({
        statuses: Object.fromEntries(SERVICES.map(service => [service, this.statusOf(service)])),
      })),
      Watch: (call: WatchCall) =>
        guardStream('Health.Watch', this.guard, call, () => this.watch(call)),
    };
  }

  private watch(call: WatchCall): void {
    this.watchers.add(call);
    call.on('cancelled', () => this.watchers.delete(call));
    call.write(this.statusOf(call.request.service));
  }

  private statusOf(service: string): HealthResponse {
    return { status: SERVICES.includes(service) ? this.serving : 'SERVICE_UNKNOWN' };
  }
}

function reflection(guard: Guard): UntypedServiceImplementation {
  const answers = new ReflectionV1Implementation(loadReflectedPackage());
  return {
    ServerReflectionInfo: (call: ServerDuplexStream<ReflectionRequest, object>) => {
      call.on('data', (request: ReflectionRequest) =>
        guardStream('Reflection', guard, call, () => {
          // A caller that does not read its answers is not read from either.
          if (!call.write(answers.handleServerReflectionRequest(request))) call.pause();
        }),
      );
      call.on('drain', () => call.resume());
      call.on('end', () => call.end());
    },
  };
}

export function addStandardServices(server: Server, guard: Guard): Health {
  const root = loadStandardPackage();
  const health = new Health(guard);
  server.addService(definitionOf(root, 'grpc.health.v1.Health'), health.implementation());
  server.addService(definitionOf(root, 'grpc.reflection.v1.ServerReflection'), reflection(guard));
  return health;
}
