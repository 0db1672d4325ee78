from crossdock_chassis import main
from forecast_service.service import Settings, build

if __name__ == "__main__":
    main(build, Settings)
