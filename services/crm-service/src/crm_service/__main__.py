from crm_service.service import Settings, build
from crossdock_chassis import main

if __name__ == "__main__":
    main(build, Settings)
